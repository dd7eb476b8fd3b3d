"""What each container can hold, and how FFmpeg's muxer for it behaves: one table, asked by trait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from vidcolor.media import languages

_NONE: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is true of a container; by default, of one not in the table. A set that is None holds all."""

    label: str = ""  # the short name by which people know it, where that is not the muxer's
    suffixes: tuple[str, ...] = ()  # of files, the usual one first
    is_image: bool = False  # it holds pictures rather than films
    is_mov: bool = False  # FFmpeg's muxer of mov writes it: boxes, edit lists, movflags
    is_matroska: bool = False
    options: Mapping[str, str] = field(default_factory=dict)  # with which it has to be opened

    encoders: Mapping[int, str] = field(default_factory=dict)  # usual ones by depth, 0 being any other
    codecs: frozenset[str] | None = None  # of the picture; None where the muxer names all itself
    refused: frozenset[str] = _NONE  # codecs that the muxer names, and refuses with the header
    in_parts: bool = True  # parts encoded apart can be joined: no count or header runs on in the encoder
    upright: bool = False  # readers show the picture as it is stored
    aspect: bool = False  # its header says the pixels' aspect ratio, whatever the codec says
    range: bool = False  # and whether luma has its full range
    matrix: bool = False
    turn: bool = False  # and that the picture is turned
    fields: bool | None = None  # and which field comes first; False: fields have no place, whatever the codec

    from_zero: bool = False  # begins at zero at the earliest: the muxer moves all tracks
    at_once: bool = False  # all its tracks begin at once, and sound is placed by its samples alone
    numbered: bool = False  # places frames by their number
    one_rate: bool = False  # its header states a rate, by which frames are counted
    timed: bool = True  # its frames have times of their own
    milliseconds: bool = False  # in which its times are
    tick: Fraction = Fraction(0)  # seconds: it counts no finer
    reordered: bool = True  # FFmpeg finds presentation times in it, not just the order of decoding
    longest_gop: int = 0  # frames from a key frame on that its index counts

    only: frozenset[str] | None = None  # codecs of tracks; any other is written, too, but as private data
    never: frozenset[str] = _NONE  # codecs that the muxer takes, and writes as no reader understands them
    picture_first: bool = False  # takes other tracks after it, without times, and ends with the shortest
    late_pcm: bool = False  # few readers understand PCM in it
    pcm_only: bool = False  # no other sound, and of one sample rate
    sound: str = ""  # encoder of sound that it does not take, where the muxer's is not the usual one
    lossless: str = ""  # and of that which lost nothing before, if many players know it; any "pcm"
    mp3_rates: tuple[int, ...] = ()  # sample rates of MP3 (Hz), where it takes fewer than the encoder
    text: str | None = None  # the codec that text of others becomes
    data: str = ""  # tracks of data that readers learn about: "any", or those that came in "mov"
    covers: str = ""  # where a cover goes that is no attachment: the "header", or a "track" of its own
    attachments: bool = False  # holds files, a cover too

    mark: str = "encoding_tool"  # key of the metadata that says what vidcolor made
    keys: frozenset[str] | None = None  # of the film's metadata
    any_key: bool = False  # writes keys of any name where it is asked to (use_metadata_tags)
    track_keys: frozenset[str] | None = None  # of a track's metadata
    chapter_keys: frozenset[str] | None = _NONE  # of a chapter's; where there are none it holds no chapters
    timecode: bool = True  # kept as a track of its own (mov, mp4) or as a tag
    reel: bool = False  # the reel's name is kept with it
    dispositions: frozenset[str] | None = None  # that survive; 'default' is never missed
    to_language: Callable[[str], str] = str  # gives the code by which it knows a language
    has_language: Callable[[str], bool] = lambda code: True


_TO_10 = {8: "libx264", 10: "libx264"}
_TO_12 = {**_TO_10, 12: "libx265"}
_ALL = {**_TO_12, 0: "ffv1"}
# The priming of AAC and Opus lies before zero. These containers can say so; left to itself the muxer of
# Matroska would move every track, the picture too, until nothing does.
_AS_IT_IS = {"avoid_negative_ts": "disabled"}
_STRICT = {"strict": "-1"}  # more than 8 bits, and most frame rates, are extensions

_MP4 = Traits(is_mov=True, options=_AS_IT_IS, aspect=True, turn=True, late_pcm=True, sound="aac",
    text="mov_text", never=_words("timed_id3 scte_35 smpte_2038"),  # which it leaves out in silence
    keys=_words(
        "title artist album_artist composer album comment genre copyright grouping lyrics description tempo "
        "synopsis show episode_id network keywords date creation_time track disc location compilation "
        "gapless_playback hd_video media_type season_number episode_sort sort_name sort_artist sort_album "
        "sort_album_artist sort_composer sort_show"),
    covers="header", any_key=True, track_keys=_words("language"), chapter_keys=_words("title"),
    dispositions=_NONE, to_language=languages.three_letters, has_language=languages.is_three_letters,
)  # fmt: skip
# FFmpeg's muxer writes other languages as none, for which QuickTime has no numbers.
_QUICKTIME = _words(
    "alb amh ara arm asm aym aze baq bel ben bul bur cat ces chi dan dut dzo eng epo est fin fra geo ger gre "
    "grn guj heb hin hun ice ind iri ita jav jpn kan kas kaz khm kin kir kor kur lao lat lav lit mac mal mar "
    "may mlg mlt mol mon nep nor nya ori orm per pol por pus que ron run rus san sin slk slv smi snd som spa "
    "sve swa tam tat tel tgk tgl tha tib tir tuk tur uig ukr urd uzb vie wel yid und")  # fmt: skip
_3GP = replace(_MP4, any_key=False,
    keys=_words("title artist author album date comment genre copyright location creation_time"))  # fmt: skip
_MKV = Traits(is_matroska=True, options=_AS_IT_IS, aspect=True, range=True, matrix=True, turn=True,
    milliseconds=True, sound="aac", mark="VIDCOLOR", chapter_keys=None)  # fmt: skip
# They write nothing that a person would call metadata, and take text for the pictures of a DVD's subtitles.
_DVD = Traits(keys=_NONE, track_keys=_NONE, timecode=False, dispositions=_NONE)
_PS = replace(_DVD, codecs=_words("mpeg1video mpeg2video"), one_rate=True,
    never=_words("subrip ass ssa mov_text webvtt text hdmv_pgs_subtitle dvb_subtitle dvb_teletext"),
)  # fmt: skip
_STREAMS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mjpeg", "rawvideo", "obu")  # without a container
_PICTURES = Traits(is_image=True, in_parts=False, upright=True)

_TABLE = {
    "mp4": replace(_MP4, suffixes=("mp4", "m4v"), encoders=_TO_12, range=True, matrix=True, data="mov",
        track_keys=_words("title language"),
        dispositions=_words("dub comment forced hearing_impaired visual_impaired captions descriptions")),
    "mov": replace(_MP4, suffixes=("mov", "qt"), encoders=_TO_12, refused=_words("vp8 vp9 av1"), matrix=True,
        fields=True, late_pcm=False, lossless="alac", data="mov", covers="track", mark="comment", reel=True,
        keys=_words("title artist album date comment genre copyright make model location creation_time"),
        track_keys=_words("title language"),
        to_language=languages.quicktime_code, has_language=_QUICKTIME.__contains__),
    "3gp": replace(_3GP, suffixes=("3gp",), encoders=_TO_12),
    "3g2": _3GP,
    **dict.fromkeys(("ipod", "psp", "f4v"), _MP4),
    "matroska": replace(_MKV, label="mkv", suffixes=("mkv", "mk3d"), encoders=_ALL, fields=True,
        refused=_words("rv10 rv20"), lossless="flac", text="subrip", attachments=True,
        never=_words("tta"),  # read by the file's duration: its last second is lost where that changes
        dispositions=_words("dub original comment forced hearing_impaired visual_impaired")),
    "webm": replace(_MKV, suffixes=("webm",), encoders={8: "libvpx-vp9", 9: "libsvtav1", 10: "libsvtav1"},
        fields=False, sound="libopus", text="webvtt", chapter_keys=_words("title"),
        dispositions=_words("forced captions descriptions metadata")),  # kinds of WebVTT
    "mpegts": Traits(label="ts", suffixes=("ts", "m2ts", "mts"), encoders=_TO_12, from_zero=True, data="any",
        codecs=_words("h264 hevc mpeg1video mpeg2video mpeg4 vc1 dirac"),
        only=_words(
            "mp2 mp3 aac aac_latm ac3 eac3 dts truehd opus s302m h264 hevc vvc mpeg1video mpeg2video mpeg4 "
            "vc1 dirac cavs dvb_subtitle dvb_teletext hdmv_pgs_subtitle klv timed_id3 scte_35 smpte_2038"),
        keys=_words("service_name service_provider title"), track_keys=_words("language"), timecode=False,
        dispositions=_words("hearing_impaired visual_impaired clean_effects descriptions"),
        to_language=languages.three_letters, has_language=lambda code: len(code) == 3),
    "mpeg": replace(_PS, suffixes=("mpg", "mpeg"), encoders={0: "mpeg2video"}),
    "vob": replace(_PS, suffixes=("vob",)),
    **dict.fromkeys(("svcd", "dvd"), _DVD),
    "avi": Traits(suffixes=("avi",), options=_AS_IT_IS, encoders={**_TO_10, 0: "ffv1"}, at_once=True,
        numbered=True, reordered=False, sound="libmp3lame", lossless="pcm",
        mp3_rates=(32_000, 44_100, 48_000),  # below, the muxer's times may be wrong by a factor of two
        never=_words(  # it has no place for the headers and durations that these need
            "vorbis opus flac eac3 dts adpcm_ms adpcm_ima_wav hdmv_pgs_subtitle dvd_subtitle subrip ass"),
        keys=_words("title artist album date comment genre copyright language track encoded_by timecode"),
        track_keys=_words("title"), timecode=False, dispositions=_NONE),
    "asf": Traits(label="wmv", suffixes=("wmv",), encoders={0: "wmv2"}, aspect=True, from_zero=True,
        never=_words("flac"),  # of which FFmpeg reads all packets but the first ten late
        track_keys=_words("language"), dispositions=_NONE,
        # FFmpeg's muxer would give a track in any other that of another track
        has_language=lambda code: code == "und" or languages.has_two_letters(code)),
    "flv": Traits(suffixes=("flv",), encoders=_TO_10, refused=_words("mpeg4 h263"), from_zero=True,
        milliseconds=True, mp3_rates=(11_025, 22_050, 44_100, 48_000), track_keys=_NONE, dispositions=_NONE,
        never=_words("pcm_u8 pcm_s16le pcm_s16be pcm_alaw pcm_mulaw")),  # not all rates, nor orders of bytes
    "nut": Traits(suffixes=("nut",), encoders=_ALL, from_zero=True, mark="VIDCOLOR", chapter_keys=None,
        never=_words(  # it has no place for sizes of blocks and samples
            "wmav1 wmav2 wmapro wmavoice wmalossless atrac3 cook sipr ra_288 adpcm_g726 adpcm_ima_wav"),
        dispositions=_words("dub original comment lyrics karaoke")),
    "ogg": Traits(suffixes=("ogv",), chapter_keys=None),
    "mxf": Traits(suffixes=("mxf",), options=_STRICT, encoders={0: "libx264"}, range=True, matrix=True,
        codecs=_words("mpeg2video h264 dnxhd prores jpeg2000 dvvideo ffv1"), numbered=True, one_rate=True,
        timed=False, reordered=False, longest_gop=128, picture_first=True, pcm_only=True,
        keys=_words("creation_time company_name product_name product_version"),
        track_keys=_NONE, dispositions=_NONE),
    "yuv4mpegpipe": Traits(label="y4m", suffixes=("y4m",), options=_STRICT, encoders={0: "rawvideo"},
        codecs=_words("rawvideo"), range=True, fields=True, numbered=True, one_rate=True, timed=False),
    "gif": Traits(suffixes=("gif",), in_parts=False, upright=True, tick=Fraction(1, 100)),
    "apng": Traits(suffixes=("apng",), in_parts=False),
    "ivf": Traits(suffixes=("ivf",)),
    **dict.fromkeys(_STREAMS, Traits(timed=False)),
    "image2": replace(_PICTURES, suffixes=("png", "jpg", "jpeg", "tif", "tiff", "bmp")),
    "webp": replace(_PICTURES, suffixes=("webp",)),
}  # fmt: skip
MUXERS = {suffix: muxer for muxer, traits in _TABLE.items() for suffix in traits.suffixes}


def traits_of(muxer: str) -> Traits:
    """Traits of the container that FFmpeg's muxer of this name writes."""
    return _TABLE.get(muxer) or Traits()
