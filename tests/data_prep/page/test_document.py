"""The preparation page: self-contained, safe against any name, the worst first; in a browser if there is one."""

import re

import html_page
import pytest
from prepared_page import clip, summary, written

from cpml_jax.errors import UserError
from data_prep.page import document

HOSTILE = "<script>alert(1)</script>&\"'></svg>–ü\u202e\udcff.mp4"


def test_every_clip_is_named_and_the_worst_is_first(tmp_path, three):
    source, parsed = written(tmp_path, three)
    cards = source.split("<article")[1:]
    assert [re.search(r"<h3><bdi>(\d+)", card)[1] for card in cards] == ["002", "003", "001"]
    for made in three:
        assert made["clip_id"] in parsed.text
    assert "worst first" in parsed.text and "track quality" in parsed.text
    assert source.count("<image") == 18 and source.count("data:image/jpeg;base64,/9j/") == 18
    assert "track quality 0.500, below 0.95" in parsed.text


def test_nothing_is_fetched_and_no_script_is_there(tmp_path, three):
    source, parsed = written(tmp_path, three)
    assert not re.search(r"https?://|@import|url\((?!#)", source)
    assert not {"script", "iframe", "object", "embed", "base", "form"} & set(parsed.tags)
    for _, key, value in parsed.attributes:
        assert key not in ("src", "srcset", "xlink:href") and not key.startswith("on")
        assert key != "href" or value.startswith("data:image/jpeg;base64,")


def test_hostile_names_stay_text(tmp_path):
    clips = [clip(1, video=HOSTILE, method=HOSTILE, source_codec=HOSTILE, compression=HOSTILE)]
    excluded = [{"path": f"/videos/{HOSTILE}", "reason": f"cannot be opened ({HOSTILE})"}]
    changes = {"clips": {f"test/{'<i>' + chr(39)}/c23": 1, "total": 1}, "parameters": {"root": HOSTILE}}
    _, parsed = written(tmp_path, clips, excluded, name=HOSTILE, **changes)
    assert parsed.text.count(HOSTILE.replace("\udcff", "\\udcff")) >= 6
    assert "script" not in parsed.tags and "i" not in parsed.tags


def test_excluded_files_lie_under_their_reason_and_long_lists_are_cut(tmp_path):
    excluded = [{"path": f"/v/{i:03d}.mp4", "reason": f"the video has {i} frames, a clip needs 160"} for i in range(57)]
    excluded.append({"path": "/v/x.mp4", "window": 3, "reason": "no face found"})
    source, parsed = written(tmp_path, [], excluded, clips={"total": 0})
    assert "57 the video has … frames, a clip needs …" in parsed.text and "and 37 more" in parsed.text
    assert "/v/019.mp4: the video has 19 frames" in parsed.text and "/v/020.mp4" not in parsed.text
    assert "1 no face found" in parsed.text and "/v/x.mp4, window 3" in parsed.text
    assert source.count("<details>") == 3 and "<details open" not in source
    assert "No clip was prepared" in parsed.text and "<article" not in source


def test_counts_by_split_label_method_compression(tmp_path):
    clips = {"test/real/c23": 1200, "test/A/c23": 3, "train/A/raw": 4, "total": 1207}
    source, parsed = written(tmp_path, [clip(1)], clips=clips)
    assert "1,207clips1,200real7fake" in parsed.text
    body = re.search(r"<tbody>(.*?)</tbody>", source)[1]
    rows = [re.sub("<[^>]+>", "|", row).strip("|") for row in body.split("</tr>")]
    rows = [re.sub(r"\|+", "|", row) for row in rows if row]
    assert rows == ["train|fake|A|4|0|4", "test|real|real|0|1,200|1,200", "test|fake|A|0|3|3", "all|4|1,203|1,207"]
    assert "POS against the true pulse" in parsed.text and "0.66 ± 0.09" in parsed.text
    assert "POS against the true pulse" not in written(tmp_path, [clip(1)], pulse_correlation={})[1].text


def index_rows() -> list[dict]:
    rows = []
    for video in range(20):
        for method in ("real", "A", "B"):
            for compression in ("raw", "c23"):
                row = {"method": method, "compression": compression, "video": str(video), "window": 0}
                row["target_video"] = "" if method == "real" else str(video)
                row["track_quality"] = 0.5 if video == 7 else (None if video == 8 else 0.99 + video * 1e-4)
                row["snr_pos"] = {"real": 5.0, "A": None, "B": -5.0}[method]
                rows.append(row | {"clip_id": f"d/{method}/{compression}/{video}/0"})
    return rows


def test_choose_takes_the_worst_tracks_once_and_spreads_the_rest():
    rows = index_rows()
    chosen = document.choose(rows, 24)
    assert len(chosen) == len(set(chosen)) == 24 and set(chosen) <= {row["clip_id"] for row in rows}
    assert chosen[0].endswith("/8/0") and chosen[1].endswith("/7/0") or chosen[1].endswith("/8/0")
    assert any(clip_id.endswith("/7/0") for clip_id in chosen)
    by_group = [sum(i.startswith(f"d/{m}/{c}/") for i in chosen) for m in ("real", "A", "B") for c in ("raw", "c23")]
    assert min(by_group) >= 1 and sum(by_group) == 24
    assert len({i.split("/")[3] for i in chosen}) >= 12, "tracks, not files of one track"
    assert (
        document.choose(rows, 1000) == document.choose(list(reversed(rows)), 1000)
        and len(document.choose(rows, 1000)) == 120
    )
    assert document.choose(rows, 0) == [] == document.choose([], 5)
    assert document.choose(rows, 24) == document.choose(list(reversed(rows)), 24)


def test_a_place_that_cannot_be_written_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        document.write(tmp_path / "absent" / document.PAGE, "faces", summary(0), [], [])


@html_page.needs_browser
def test_in_a_browser_it_fits_a_phone_and_nothing_is_reported(tmp_path, three):
    long = [{"path": "/v/" + "x" * 200, "reason": "y" * 200}]
    written(tmp_path, [*three, clip(4, video="z" * 200)], long)
    html_page.check_in_browser(tmp_path / document.PAGE, tmp_path, cards=4)
