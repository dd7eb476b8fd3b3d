"""Codes of languages: containers count three letters (ISO 639-2), files often come with two (ISO 639-1)."""

from __future__ import annotations

import re

# Of ISO 639-1, each with its terminological code of ISO 639-2.
_PAIRS = """
aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak be:bel bg:bul
bi:bis bm:bam bn:ben bo:bod br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces cu:chu cv:chv cy:cym
da:dan de:deu dv:div dz:dzo ee:ewe el:ell en:eng eo:epo es:spa et:est eu:eus fa:fas ff:ful fi:fin fj:fij
fo:fao fr:fra fy:fry ga:gle gd:gla gl:glg gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat
hu:hun hy:hye hz:her ia:ina id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl it:ita iu:iku ja:jpn jv:jav
ka:kat kg:kon ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir
la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav mg:mlg mh:mah mi:mri mk:mkd ml:mal mn:mon
mr:mar ms:msa mt:mlt my:mya na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld nn:nno no:nor nr:nbl nv:nav ny:nya
oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus pt:por qu:que rm:roh rn:run ro:ron ru:rus
rw:kin sa:san sc:srd sd:snd se:sme sg:sag si:sin sk:slk sl:slv sm:smo sn:sna so:som sq:sqi sr:srp ss:ssw
st:sot su:sun sv:swe sw:swa ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso
tt:tat tw:twi ty:tah ug:uig uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor
za:zha zh:zho zu:zul
"""
_TWO_TO_THREE = dict(pair.split(":") for pair in _PAIRS.split())
# Of ISO 639-2's codes those of bibliographers, where these differ.
_OTHERS = frozenset(
    "alb arm baq bur chi cze dut fre geo ger gre ice mac mao may per rum slo tib wel".split()  # noqa: SIM905
)

# QuickTime knows some languages by that of ISO 639's two codes of three letters that is not the usual one.
_QUICKTIME_CODES = {
    "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "hye": "arm",
    "kat": "geo", "mkd": "mac", "sqi": "alb", "msa": "may", "mya": "bur", "bod": "tib", "fas": "per",
    "eus": "baq", "cym": "wel", "cze": "ces", "slo": "slk", "rum": "ron", "fre": "fra",
}  # fmt: skip


def three_letters(code: str) -> str:
    """The code of three letters for one of two; any other as it is."""
    return _TWO_TO_THREE.get(code, code)


def is_three_letters(code: str) -> bool:
    """Whether it is written as ISO 639-2 writes codes."""
    return re.fullmatch("[a-z]{3}", code) is not None


def has_two_letters(code: str) -> bool:
    """Whether a language has a code of two letters, or is known by it."""
    return code in _TWO_TO_THREE or code in _TWO_TO_THREE.values() or code in _OTHERS


def quicktime_code(code: str) -> str:
    """QuickTime's code for a language, whose code may have two letters."""
    code = three_letters(code)
    return _QUICKTIME_CODES.get(code, code)
