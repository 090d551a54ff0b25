"""Makes the rows that P12 is measured on: visits of thirty days as ingest and the flusher would have stored them, half of them of one site.

A visit has five events twenty seconds apart: pageviews, what the tracker says of engagement and vitals, and at its end perhaps a
sign-up, a purchase, a download or a lost page. A person comes three times, is a visitor of each local day on which they come, and
has one browser, one screen and one place. Every twentieth visit is a program's, every tenth person is known by name, and every
ninth visit comes from a campaign.
"""

from __future__ import annotations

SITE = "big.example"
ZONE = "Europe/Berlin"
DAYS = 30
PAGES = 1_200
EVENTS_A_VISIT = 5
FILL = f"""
INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, user_id, url, referrer_url, title, language,
    screen_w, screen_h, revenue, currency, engaged_ms, scroll_pct, props, vitals, dialect, bot, country, browser, os, device,
    bot_reasons, bot_name, bot_purpose, browser_version, os_version, region, city, block_id)
WITH
    intDiv(number, {EVENTS_A_VISIT}) AS visit, number % {EVENTS_A_VISIT} AS step,
    cityHash64(visit) AS h, cityHash64(number, 'event') AS e, (e % 100000) / 100000 AS chance,
    h % 2 = 1 AS is_big, h % 20 = 7 AS is_bot, is_bot AND h % 3 = 0 AS is_crawler,
    intDiv(h, 64) % 1000 / 1000 AS luck, intDiv(h, 65536) % 1000 / 1000 AS way,
    cityHash64(intDiv(visit, 3), is_big) AS person,
    toUInt32(now()) - 600 - toUInt32(cityHash64(h, 'began') % ({DAYS} * 86400)) AS began,
    cityHash64(person, toDate(toDateTime(began, 'UTC'), '{ZONE}')) AS visitor,
    fromUnixTimestamp64Milli(toInt64(1000 * (began + step * 20) + e % 1000), 'UTC') AS at,
    multiIf(step IN (0, 2), 'pageview', step = 1 OR (step = 3 AND chance < 0.5), 'engagement', step = 3, 'pageview',
        chance < 0.50, 'vitals', chance < 0.62, 'signup', chance < 0.70, 'purchase', chance < 0.78, 'Outbound Link: Click',
        chance < 0.80, '404', chance < 0.83, 'File Download', 'pageview') AS of_name,
    concat('/page/', toString(toUInt32(pow((cityHash64(visit, intDiv(step, 2)) % 10000) / 10000, 4) * {PAGES}))) AS of_path,
    if(is_big, '{SITE}', concat('site', toString(h % 40), '.example')) AS of_site,
    person % 4 + 1 AS campaign, [390, 412, 768, 1280, 1440, 1920][person % 6 + 1] AS width,
    ['US', 'DE', 'FR', 'GB', 'IN', 'BR', 'JP', 'ES', 'IT', 'NL', 'CA', 'PL', 'SE', 'CH', 'AT', 'AU', 'MX', 'TR', 'NP', 'NZ'][
        toUInt32(pow((person % 1000) / 1000, 2) * 20) + 1] AS land
SELECT of_site, of_name, at, at, visitor, bitOr(bitShiftLeft(toUInt64(began), 32), bitAnd(visitor, 4294967295)),
    if(person % 10 = 3, concat('user-', toString(person % 1000000)), ''),
    concat('https://', if(luck < 0.1, 'shop.', 'www.'), of_site, of_path, if(step < 2 AND h % 9 = 0,
        concat('?utm_source=', ['news', 'google', 'facebook', 'partner'][campaign],
            '&utm_medium=', ['mail', 'cpc', 'social', 'affiliate'][campaign], '&utm_campaign=c', toString(person % 25)), '')),
    if(step > 1, '', multiIf(way < 0.4, '', way < 0.65, 'https://www.google.com/', way < 0.7, 'https://www.bing.com/',
        way < 0.75, 'https://chatgpt.com/', way < 0.8, 'https://t.co/x',
        concat('https://blog', toString(toUInt32(pow((way - 0.8) * 5, 3) * 400)), '.example/post/', toString(person % 50)))),
    concat('Title of ', of_path),
    ['en-US', 'de-DE', 'fr-FR', 'es-ES', 'pt-BR', 'ja-JP', 'en-GB', 'it-IT'][toUInt32(luck * luck * 8) + 1],
    width, [844, 915, 1024, 720, 900, 1080][person % 6 + 1],
    if(of_name = 'purchase', toDecimal64(5 + e % 20000 / 100, 4), toDecimal64(0, 4)),
    if(of_name = 'purchase', ['EUR', 'EUR', 'USD', 'JPY'][campaign], ''),
    if(of_name = 'engagement', 500 + e % 60000, 0), if(of_name = 'engagement', e % 101, 0),
    multiIf(of_name = 'signup', map('plan', ['free', 'pro', 'team'][e % 3 + 1]),
        of_name = 'purchase', map('plan', ['pro', 'team'][e % 2 + 1], 'coupon', if(e % 5 = 0, 'SPRING', '')),
        of_name = 'Outbound Link: Click', map('url', concat('https://out', toString(e % 60), '.example/')),
        of_name = 'File Download', map('url', concat('https://www.{SITE}/', toString(e % 30), '.pdf')),
        of_name = '404', map('path', of_path), map()),
    if(of_name = 'vitals', map('lcp', toFloat32(800 + e % 4000), 'inp', toFloat32(40 + e % 400), 'cls', toFloat32(e % 300 / 1000),
        'fcp', toFloat32(500 + e % 2500), 'ttfb', toFloat32(50 + e % 900)), map()),
    'native', if(is_bot, ['crawler', 'headless', 'rate'][h % 3 + 1], ''), land,
    ['Chrome', 'Safari', 'Firefox', 'Edge', 'Samsung Internet', 'Brave'][
        toUInt32(pow((intDiv(person, 1000) % 1000) / 1000, 2) * 6) + 1],
    ['Windows', 'macOS', 'iOS', 'Android', 'Linux'][person % 5 + 1], multiIf(width < 500, 'mobile', width < 1000, 'tablet', 'desktop'),
    if(is_bot, [4, 2, 128][h % 3 + 1], 0), if(is_crawler, ['GPTBot', 'Googlebot', 'ClaudeBot'][person % 3 + 1], ''),
    if(is_crawler, ['ai-training', 'search', 'ai-training'][person % 3 + 1], ''),
    toString(130 + toUInt32(pow((intDiv(person, 77) % 1000) / 1000, 3) * 16)), toString(10 + person % 8),
    concat(land, '-', toString(person % 14 + 1)),
    concat('City ', land, toString(toUInt32(pow((intDiv(person, 31) % 1000) / 1000, 2) * 40))), 'bench'
FROM numbers({{first}}, {{rows}})
SETTINGS max_execution_time = 600, max_partitions_per_insert_block = 100
"""
