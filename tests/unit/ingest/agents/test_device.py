"""ingest/agents/device.py: the class of a device, by its User-Agent and hints."""

from __future__ import annotations

import pytest

from tests.support import collecting

BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
KIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {KIT}"
CHROME = f"{BLINK} Chrome/120.0.0.0 Safari/537.36"
ON_PHONES = f"{BLINK} Chrome/120.0.0.0 Mobile Safari/537.36"
DEVICES = [
    # televisions, and what is plugged into them
    ("tv", f"Mozilla/5.0 (Linux armv7l) {BLINK} Chrome/79.0.3945.79 Safari/537.36 OPR/46.0 OMI/4.20 HbbTV/1.5.1 (+DRM; X; 1)"),
    ("tv", "HbbTV/1.2.1 (;Panasonic;VIERA 2013;3.672;4101-0003 0002-0000;)"),
    ("tv", f"Mozilla/5.0 (Linux; Android 11; MiTV-AFKR0) {CHROME}"),
    ("tv", f"Mozilla/5.0 (Linux; Android 12; BRAVIA 4K VH2) {CHROME}"),
    ("tv", f"Mozilla/5.0 (Linux; Android 9; AFTMM; wv) {ON_PHONES}"),
    ("tv", f"Mozilla/5.0 (Linux; Android 11; SHIELD Android TV) {CHROME}"),
    ("tv", f"Mozilla/5.0 (Linux; Android 7.1.2; X96 Build/NHG47L) {CHROME}"),
    ("tv", f"Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROME} WebAppManager"),
    ("tv", f"Mozilla/5.0 (webOS; Linux/SmartTV) {CHROME} LG Browser/8.00.00(LGE; 50UP75006LF)"),
    ("tv", f"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) {BLINK} SamsungBrowser/3.1 Chrome/76.0.0.0 TV Safari/537.36"),
    ("tv", f"Mozilla/5.0 (Linux; Tizen 2.3) {BLINK} Version/2.3 TV Safari/538.1"),
    ("tv", f"Mozilla/5.0 (X11; Linux aarch64) {CHROME} CrKey/1.56.500000 DeviceType/Chromecast"),
    ("tv", "Roku/DVP-9.10 (519.10E04111A)"),
    ("tv", "AppleTV11,1/11.1"),
    ("tv", f"Mozilla/5.0 (Linux; U; Linux; en) {BLINK} Chrome/108.0 Safari/537.36 VIDAA/6.0(Hisense;SmartTV)"),
    ("tv", "Mozilla/5.0 (Linux; NetCast; U) AppleWebKit/537.31 (KHTML, like Gecko) Chrome/38 Safari/537.31 SmartTV/7.0"),
    ("tv", f"Mozilla/5.0 (PlayStation; PlayStation 5/2.26) {KIT} Version/13.0 Safari/605.1.15"),
    ("tv", f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) {CHROME} Edge/44.18363.8131"),
    ("tv", "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3"),
    ("tv", f"Mozilla/5.0 (Linux; Android 9; 24LEX_7155/UTS2C) {CHROME}"),
    ("tv", f"Mozilla/5.0 (Linux; arm; Android 9; SW-LED43UB400; wv) {ON_PHONES}"),
    ("tv", f"Mozilla/5.0 (Linux; Android 11; Rombica Smart Box A2) {CHROME}"),
    ("tv", "Opera/9.80 (Linux mips; ) Presto/2.12.407 Version/12.51 MB95/3.6.3.J (POLAROID, Si2157LG32, wireless)"),
    # consoles that are held in the hand
    ("mobile", "Mozilla/5.0 (PlayStation Vita 3.61) AppleWebKit/537.73 (KHTML, like Gecko) Silk/3.2"),
    ("mobile", "Mozilla/5.0 (PSP (PlayStation Portable); 2.00)"),
    ("mobile", "Mozilla/5.0 (Nintendo 3DS; U; ; en) Version/1.7567.US"),
    # iPads, whatever they call themselves
    ("tablet", f"Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) {KIT} Version/17.4 Mobile/15E148 Safari/604.1"),
    ("tablet", f"{MAC} Mobile/15E148"),
    ("tablet", f"{MAC} Version/17.1 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15"),
    ("tablet", f"{MAC} CriOS/122 Version/11.1.1 Safari/605.1.15"),
    ("tablet", f"{MAC} Version/18.0 EdgiOS/140.0 Safari/605.1.15"),
    ("tablet", f"{MAC} FxiOS/140.0 Safari/605.1.15"),
    ("tablet", f"{MAC} Mobile/21E236 [FBAN/FBIOS;FBAV/460.0;FBDV/iPad13,1;FBMD/iPad]"),
    # other tablets
    ("tablet", f"Mozilla/5.0 (Linux; Android 13; SM-X700) {CHROME}"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 13; SM-T510; wv) {ON_PHONES}"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 10; K) {CHROME}"),
    ("tablet", "Mozilla/5.0 (Android 15; Tablet; rv:145.0) Gecko/145.0 Firefox/145.0"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 9; KFONWI) {BLINK} Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 12; Lenovo TB-J606F) {ON_PHONES}"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 14; Pixel Tablet) {ON_PHONES}"),
    ("tablet", f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} SamsungBrowser/22.0 Chrome/111.0.5563.116 Safari/537.36"),
    ("tablet", f"Mozilla/5.0 (Tablet; OpenHarmony 5.0) {CHROME} ArkWeb/4.1.6.1"),
    ("tablet", "Mozilla/5.0 (PlayBook; U; RIM Tablet OS 2.1.0; en-US) AppleWebKit/536.2+ (KHTML, like Gecko) Version/7.2"),
    # e-readers, cars and headsets
    ("tablet", "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) Kindle/3.0+"),
    ("tablet", "Mozilla/5.0 (Linux; U; Android 2.0; en-us;) AppleWebKit/533.1 Version/4.0 Mobile Safari/533.1 (Kobo Touch)"),
    ("tablet", f"Mozilla/5.0 (X11; GNU/Linux) {BLINK} Chromium/88.0.4324.150 Chrome/88.0 Safari/537.36 Tesla/DEV-BUILD-4d1"),
    ("tablet", f"Mozilla/5.0 (X11; Linux x86_64; Quest 3) {BLINK} OculusBrowser/36.2 Chrome/130.0.0.0 VR Safari/537.36"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 12; Quest 2) {BLINK} OculusBrowser/36.2 Chrome/130.0 Mobile VR Safari/537.36"),
    # telephones, foldables as they are at the moment, feature phones, watches
    ("mobile", f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {KIT} Version/18.6 Mobile/15E148 Safari/604.1"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 10; K) {ON_PHONES}"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 9; CUBOT_X18) {ON_PHONES}"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 14; SM-F946B) {ON_PHONES}"),
    ("tablet", f"Mozilla/5.0 (Linux; Android 14; SM-F946B) {CHROME}"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 11; SM-R890) {BLINK} SamsungBrowser/19.0 Chrome/102.0 Mobile Safari/537.36"),
    ("mobile", "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5"),
    ("mobile", "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16"),
    ("mobile", "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10"),
    ("mobile", f"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) {ON_PHONES} Edge/15.15063"),
    ("mobile", "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) Version/10.0.9.2372 Mobile Safari/537.10+"),
    ("mobile", f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {CHROME} ArkWeb/4.1.6.1 Mobile"),
    ("mobile", f"Mozilla/5.0 (Linux; Tizen 2.3; SAMSUNG SM-Z130H) {BLINK} SamsungBrowser/1.0 Mobile Safari/537.3"),
    ("mobile", "Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A.220624.014)"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 7.0; RIVIERA F23) {ON_PHONES}"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 14; NOVA 70SE) {ON_PHONES}"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 6.0; LG-H961S) {ON_PHONES}"),
    ("mobile", f"Mozilla/5.0 (Linux; Android 7.0; myA7 DTV) {ON_PHONES}"),
    ("mobile", "Mozilla/5.0 (Windows NT 6.2; ARM; Trident/7.0; Touch; rv:11.0; WPDesktop; NOKIA; Lumia 520) like Gecko"),
    # desktops, with and without a pen
    ("desktop", f"{MAC} Version/17.4 Safari/605.1.15"),
    ("desktop", "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; SLCC2; Tablet PC 2.0; rv:11.0) like Gecko"),
    ("desktop", "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; rv:11.0) like Gecko"),
    ("desktop", f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME}"),
    ("desktop", "Mozilla/4.0 (compatible; MSIE 6.0; Windows 98)"),
    ("desktop", f"Mozilla/5.0 (X11; Linux x86_64) {CHROME}"),
    ("desktop", "Mozilla/5.0 (X11; Ubuntu; Linux aarch64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("desktop", "Mozilla/5.0 (Wayland; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("desktop", "Mozilla/5.0 (X11; OpenBSD amd64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("desktop", f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME}"),
    ("desktop", f"Mozilla/5.0 (Linux; Android 9; Samsung Chromebook 3) {CHROME}"),
    ("desktop", f"Mozilla/5.0 (X11; CrOS aarch64 15699.85.0) {CHROME}"),
    # what gives nothing away
    ("", f"Mozilla/5.0 (Linux armv7l) {BLINK} Version/4.0 Safari/537.36"),
    ("", "Heroku/1.0"),
    ("", "curl/8.5.0"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("device", "user_agent"), DEVICES)
def test_a_device_has_the_class_that_people_expect(device: str, user_agent: str) -> None:
    """By the User-Agent alone, as it comes over http."""
    assert collecting.agents().of({b"user-agent": user_agent.encode()}).device == device


@pytest.mark.parametrize(
    ("device", "mobile", "model"),
    [("mobile", b"?1", b""), ("tablet", b"?0", b""), ("tablet", b"?1", b'"SM-X700"'), ("tv", b"?0", b'"AFTKA"')],
)
def test_hints_say_more_of_a_frozen_android(device: str, mobile: bytes, model: bytes) -> None:
    """Its agent has "K" for every model; the same bytes with other hints are another device."""
    fields = {
        b"user-agent": f"Mozilla/5.0 (Linux; Android 10; K) {CHROME}".encode(),
        b"sec-ch-ua": b'"Google Chrome";v="120", "Chromium";v="120"',
        b"sec-ch-ua-platform": b'"Android"',
        b"sec-ch-ua-mobile": mobile,
        b"sec-ch-ua-model": model,
    }
    assert collecting.agents().of(fields).device == device
