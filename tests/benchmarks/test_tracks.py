"""The comparison of settings on a drawn video."""

from odd.encoder import draw, encode

from benchmarks import tracks


def test_every_setting_gets_a_line_and_the_landmarks_theirs(tmp_path, monkeypatch):
    encode(tmp_path / "a.mp4", draw(32))
    seen = tracks.watch(str(tmp_path / "a.mp4"))
    assert len(seen) == 31 and [frame.number for frame in seen if frame.faces][:4] == [0, 2, 5, 7]
    header, *lines = tracks.compare([seen])
    assert len(lines) == len(tracks.SETTINGS) and all(line.split()[4] == "1" for line in lines)
    assert float(lines[0].split()[3]) < float(lines[2].split()[3]), "every 15th frame is searched, and every 5th"
    monkeypatch.setattr(tracks, "NUM_FRAMES", 16)
    assert "2 clips of 16 frames" in tracks.landmarks_of([str(tmp_path / "a.mp4")])
