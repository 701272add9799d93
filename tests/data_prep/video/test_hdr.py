import numpy as np

from data_prep.video import hdr


def test_without_the_high_range_white_is_white_and_grey_is_grey():
    """PQ and HLG of 203 cd/m2 (BT.2408: 58 % and 75 %), of a quarter of it, and of black."""
    for curve, white in ((hdr.PQ, 0.5807), (hdr.HLG, 0.75)):
        codes = np.full((2, 2, 3), round(white * 65535), np.uint16)
        assert 225 <= hdr.to_sdr(codes, curve).mean() <= 250  # pressed a little, to leave room for what is brighter
        assert hdr.to_sdr(codes * 0, curve).max() == 0
        assert np.ptp(hdr.to_sdr(codes, curve)) <= 1
        assert hdr.to_sdr(np.full((1, 1, 3), 65535, np.uint16), curve).min() >= 250


def test_colours_of_the_wide_gamut_keep_their_hue():
    """A red of BT.709, written in BT.2020 under PQ, comes back red; taken for BT.709 already, it is paler."""
    linear = np.array([0.6274, 0.0691, 0.0164]) * 203 / 1e4  # BT.2087, of the full red at diffuse white
    power = linear**0.1593017578125
    codes = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    image = np.tile((codes * 65535).round().astype(np.uint16), (2, 2, 1))
    red, pale = hdr.to_sdr(image, hdr.PQ, 9)[0, 0].astype(int), hdr.to_sdr(image, hdr.PQ, 1)[0, 0].astype(int)
    assert red[0] > 200 and red[1:].max() < 30
    assert pale[1] > red[1] + 20


def test_brighter_light_is_never_darker():
    for curve in (hdr.PQ, hdr.HLG):
        codes = np.arange(0, 65536, 64, dtype=np.uint16)[:, None, None].repeat(3, -1)
        assert (np.diff(hdr.to_sdr(codes, curve)[:, 0, 0].astype(int)) >= 0).all()
