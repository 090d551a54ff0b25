"""Holds what the events are made of: browsers, words, referrers, screens, languages, as the web has them.

Data only. Weights are rounded from public browser statistics. They matter because the server's caches (user agents,
pages) meet a head and a long tail; their second digit does not matter.
"""

from __future__ import annotations

_MOZILLA = "Mozilla/5.0 "
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) "
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) "
_WINDOWS = _MOZILLA + "(Windows NT 10.0; Win64; x64) "
_MACINTOSH = _MOZILLA + "(Macintosh; Intel Mac OS X 10_15_7) "
_LINUX = _MOZILLA + "(X11; Linux x86_64) "
_ANDROID = _MOZILLA + "(Linux; Android 10; K) "
_IPHONE = _MOZILLA + "(iPhone; CPU iPhone OS {} like Mac OS X) " + _SAFARI
_IPAD = _MOZILLA + "(iPad; CPU OS {} like Mac OS X) " + _SAFARI

# (user agent, weight, touch device)
USER_AGENTS: tuple[tuple[str, int, bool], ...] = (
    (_WINDOWS + _WEBKIT + "Chrome/143.0.0.0 Safari/537.36", 160, False),
    (_WINDOWS + _WEBKIT + "Chrome/142.0.0.0 Safari/537.36", 60, False),
    (_WINDOWS + _WEBKIT + "Chrome/141.0.0.0 Safari/537.36", 20, False),
    (_WINDOWS + _WEBKIT + "Chrome/138.0.0.0 Safari/537.36", 8, False),
    (_WINDOWS + _WEBKIT + "Chrome/109.0.0.0 Safari/537.36", 9, False),
    (_WINDOWS + _WEBKIT + "Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0", 52, False),
    (_WINDOWS + _WEBKIT + "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", 18, False),
    (_WINDOWS + _WEBKIT + "Chrome/140.0.0.0 Safari/537.36 OPR/125.0.0.0", 12, False),
    (_WINDOWS + _WEBKIT + "Chrome/142.0.0.0 Safari/537.36 Vivaldi/7.7.3851.58", 2, False),
    (_WINDOWS + _WEBKIT + "Chrome/140.0.0.0 YaBrowser/25.10.0.0 Safari/537.36", 6, False),
    (_MOZILLA + "(Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", 24, False),
    (_MOZILLA + "(Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", 7, False),
    (_MOZILLA + "(Windows NT 6.1; Win64; x64; rv:115.0) Gecko/20100101 Firefox/115.0", 3, False),
    (_MOZILLA + "(Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", 1, False),
    (_MACINTOSH + _WEBKIT + "Chrome/143.0.0.0 Safari/537.36", 55, False),
    (_MACINTOSH + _WEBKIT + "Chrome/142.0.0.0 Safari/537.36", 18, False),
    (_MACINTOSH + _SAFARI + "Version/26.1 Safari/605.1.15", 38, False),
    (_MACINTOSH + _SAFARI + "Version/18.6 Safari/605.1.15", 22, False),
    (_MACINTOSH + _SAFARI + "Version/17.6 Safari/605.1.15", 7, False),
    (_MOZILLA + "(Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0", 8, False),
    (_LINUX + _WEBKIT + "Chrome/143.0.0.0 Safari/537.36", 14, False),
    (_MOZILLA + "(X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", 8, False),
    (_MOZILLA + "(X11; Ubuntu; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", 3, False),
    (_MOZILLA + "(X11; CrOS x86_64 14541.0.0) " + _WEBKIT + "Chrome/141.0.0.0 Safari/537.36", 9, False),
    (_ANDROID + _WEBKIT + "Chrome/143.0.0.0 Mobile Safari/537.36", 150, True),
    (_ANDROID + _WEBKIT + "Chrome/142.0.0.0 Mobile Safari/537.36", 60, True),
    (_ANDROID + _WEBKIT + "Chrome/131.0.0.0 Mobile Safari/537.36", 12, True),
    (_ANDROID + _WEBKIT + "SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36", 28, True),
    (_ANDROID + _WEBKIT + "Chrome/142.0.0.0 Mobile Safari/537.36 OPR/93.0.0.0", 7, True),
    (_MOZILLA + "(Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", 5, True),
    (
        _MOZILLA
        + "(Linux; Android 14; SM-A546B Build/UP1A.231005.007; wv) "
        + _WEBKIT
        + "Version/4.0 Chrome/142.0.7444.171 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/535.0.0.37.58;]",
        18,
        True,
    ),
    (
        _MOZILLA
        + "(Linux; Android 13; 22101316G Build/TP1A.220624.014; wv) "
        + _WEBKIT
        + "Version/4.0 Chrome/141.0.7390.122 Mobile Safari/537.36 Instagram 404.0.0.48.76 Android",
        12,
        True,
    ),
    (_IPHONE.format("18_7") + "Version/26.1 Mobile/15E148 Safari/604.1", 96, True),
    (_IPHONE.format("18_6") + "Version/18.6 Mobile/15E148 Safari/604.1", 62, True),
    (_IPHONE.format("17_6_1") + "Version/17.6 Mobile/15E148 Safari/604.1", 16, True),
    (_IPHONE.format("16_7_12") + "Version/16.6 Mobile/15E148 Safari/604.1", 5, True),
    (_IPHONE.format("18_6_2") + "CriOS/142.0.7444.148 Mobile/15E148 Safari/604.1", 24, True),
    (_IPHONE.format("18_6") + "GSA/394.0.825930462 Mobile/15E148 Safari/604.1", 14, True),
    (_IPHONE.format("18_6_2") + "Mobile/22G100 [FBAN/FBIOS;FBAV/538.0.0.53.71;FBDV/iPhone15,3;]", 13, True),
    (_IPAD.format("18_6") + "Version/18.6 Mobile/15E148 Safari/604.1", 9, True),
    (
        _MOZILLA + "AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; "
        "+http://www.google.com/bot.html) Chrome/141.0.7390.122 Safari/537.36",
        6,
        False,
    ),
    (_MOZILLA + "(compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", 3, False),
)

SCREENS: tuple[tuple[int, int], ...] = (
    (1920, 1080), (1536, 864), (1440, 900), (2560, 1440), (1366, 768), (1280, 720), (1728, 1117),
    (3840, 2160), (1680, 1050),
)  # fmt: skip
SCREENS_TOUCH: tuple[tuple[int, int], ...] = (
    (390, 844), (393, 852), (360, 800), (412, 915), (430, 932), (384, 832), (820, 1180), (375, 667),
)  # fmt: skip

# A language and its weight.
LANGUAGES: tuple[tuple[str, int], ...] = (
    ("en-US", 40), ("en-GB", 8), ("de-DE", 12), ("fr-FR", 8), ("es-ES", 7), ("pt-BR", 6), ("ja-JP", 5),
    ("ru-RU", 4), ("pl-PL", 3), ("zh-CN", 4), ("it-IT", 3), ("nl-NL", 2), ("tr-TR", 2), ("ar-EG", 1),
    ("ko-KR", 1), ("uk-UA", 1), ("en", 2),
)  # fmt: skip

# (referrer of an entry page, weight); "" is direct
REFERRERS: tuple[tuple[str, int], ...] = (
    ("", 42),
    ("https://www.google.com/", 26),
    ("https://www.google.de/", 3),
    ("https://www.bing.com/", 4),
    ("https://duckduckgo.com/", 3),
    ("https://yandex.ru/", 1),
    ("https://www.baidu.com/link?url=5vT9qk", 1),
    ("https://t.co/W3b9xQ2LmA", 3),
    ("https://l.facebook.com/", 3),
    ("https://m.facebook.com/", 1),
    ("https://www.linkedin.com/", 2),
    ("https://www.reddit.com/", 2),
    ("https://old.reddit.com/r/selfhosted/comments/1pf3aa/what_do_you_use_for_analytics/", 1),
    ("https://news.ycombinator.com/item?id=45923710", 1),
    ("https://github.com/", 1),
    ("https://chatgpt.com/", 2),
    ("https://www.perplexity.ai/", 1),
    ("android-app://com.google.android.gm/", 1),
    ("https://www.youtube.com/", 1),
    ("https://lobste.rs/s/k3v1qx/буферы_и_очереди", 1),
)

# Query strings of entry pages; most entry pages have none. {} takes a random click id.
CAMPAIGNS: tuple[str, ...] = (
    "utm_source=newsletter&utm_medium=email&utm_campaign=2026-03-release",
    "utm_source=google&utm_medium=cpc&utm_campaign=brand-dach&utm_term=web+analytics&gclid={}",
    "utm_source=facebook&utm_medium=paid_social&utm_campaign=Fr%C3%BChling%202026&utm_content=video-a&fbclid={}",
    "utm_source=twitter&utm_medium=social",
    "utm_source=linkedin&utm_medium=social&utm_campaign=hiring&li_fat_id={}",
    "ref=producthunt",
    "msclkid={}",
    "q=r%C3%A9sum%C3%A9+t%C3%A9l%C3%A9phone&page=2",
)

# Words of paths and titles, by script; a page takes all its words from one of these.
WORDS: tuple[tuple[str, ...], ...] = (
    (
        "pricing", "features", "release", "notes", "how", "we", "measure", "privacy", "without", "cookies",
        "guide", "install", "docker", "compare", "open", "source", "analytics", "fast", "events", "queue",
        "durable", "buffer", "why", "funnels", "migration", "team", "about", "careers", "changelog", "api",
    ),
    ("über", "uns", "preise", "größe", "datenschutz", "impressum", "neuigkeiten", "straße", "für", "händler"),
    ("à-propos", "tarifs", "démarrer", "événements", "français", "où", "reçu", "boutique", "été", "élégance"),
    ("製品", "料金", "会社概要", "お問い合わせ", "ブログ", "使い方", "分析", "速報"),
    ("цены", "условия", "новости", "документация", "быстрый", "старт", "сравнение"),
    ("الأسعار", "من-نحن", "المدونة", "تحليلات"),
    ("価格", "产品", "关于我们", "文档", "快速", "开始", "博客"),
    ("🚀", "launch", "day", "naïve", "café", "Łódź", "İstanbul", "5€", "50%-off", "“quoted”"),
)  # fmt: skip

CUSTOM_EVENTS: tuple[dict[str, object], ...] = (
    {"name": "signup", "props": {"plan": "pro", "trial": True, "seats": 5}},
    {"name": "signup", "props": {"plan": "free", "trial": False, "seats": 1}},
    {"name": "outbound", "props": {"href": "https://github.com/", "text": "Source on GitHub"}},
    {"name": "download", "props": {"file": "/files/Broschüre 2026 (final).pdf", "bytes": 1843221}},
    {"name": "search", "props": {"query": 'größe XL "sale"', "results": 0, "ms": 31.5}},
    {"name": "video", "props": {"title": "Ein Tag mit dem Zähler 📈", "position": 0.25, "muted": True}},
    {"name": "form_error", "props": {"form": "checkout", "field": "e-mail", "code": "required"}},
    {"name": "experiment", "props": {"key": "hero-2026-03", "variant": "b", "context": {"cohort": "n-17"}}},
    {"name": "purchase", "revenue": {"amount": "49.90", "currency": "EUR"}, "props": {"items": 2}},
    {"name": "purchase", "revenue": {"amount": 1290, "currency": "JPY"}, "props": {"items": 1}},
    {"name": "purchase", "revenue": {"amount": "0.3333", "currency": "USD"}, "props": {"coupon": "ÉTÉ20"}},
)
