"""Has the names of countries in English, as the Stats API shows them for `visit:country_name`, by their codes of ISO 3166-1.

A filter by name becomes one by code, because rows have codes alone.
"""

from __future__ import annotations

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.dimensions import NOT_SET
from dashboard.catalogue.filters import All, Any, Compare, Done, Filter, Not

_NAMES = """
    AD Andorra/AE United Arab Emirates/AF Afghanistan/AG Antigua and Barbuda/AI Anguilla/AL Albania/AM Armenia/AO Angola
    AQ Antarctica/AR Argentina/AS American Samoa/AT Austria/AU Australia/AW Aruba/AX Åland Islands/AZ Azerbaijan
    BA Bosnia and Herzegovina/BB Barbados/BD Bangladesh/BE Belgium/BF Burkina Faso/BG Bulgaria/BH Bahrain/BI Burundi
    BJ Benin/BL Saint Barthélemy/BM Bermuda/BN Brunei/BO Bolivia/BQ Caribbean Netherlands/BR Brazil/BS Bahamas/BT Bhutan
    BV Bouvet Island/BW Botswana/BY Belarus/BZ Belize/CA Canada/CC Cocos (Keeling) Islands
    CD Democratic Republic of the Congo/CF Central African Republic/CG Republic of the Congo/CH Switzerland
    CI Côte d’Ivoire/CK Cook Islands/CL Chile/CM Cameroon/CN China/CO Colombia/CR Costa Rica/CU Cuba/CV Cape Verde
    CW Curaçao/CX Christmas Island/CY Cyprus/CZ Czechia/DE Germany/DJ Djibouti/DK Denmark/DM Dominica
    DO Dominican Republic/DZ Algeria/EC Ecuador/EE Estonia/EG Egypt/EH Western Sahara/ER Eritrea/ES Spain/ET Ethiopia
    FI Finland/FJ Fiji/FK Falkland Islands/FM Micronesia/FO Faroe Islands/FR France/GA Gabon/GB United Kingdom
    GD Grenada/GE Georgia/GF French Guiana/GG Guernsey/GH Ghana/GI Gibraltar/GL Greenland/GM Gambia/GN Guinea
    GP Guadeloupe/GQ Equatorial Guinea/GR Greece/GS South Georgia and the South Sandwich Islands/GT Guatemala/GU Guam
    GW Guinea-Bissau/GY Guyana/HK Hong Kong/HM Heard Island and McDonald Islands/HN Honduras/HR Croatia/HT Haiti
    HU Hungary/ID Indonesia/IE Ireland/IL Israel/IM Isle of Man/IN India/IO British Indian Ocean Territory/IQ Iraq
    IR Iran/IS Iceland/IT Italy/JE Jersey/JM Jamaica/JO Jordan/JP Japan/KE Kenya/KG Kyrgyzstan/KH Cambodia/KI Kiribati
    KM Comoros/KN Saint Kitts and Nevis/KP North Korea/KR South Korea/KW Kuwait/KY Cayman Islands/KZ Kazakhstan/LA Laos
    LB Lebanon/LC Saint Lucia/LI Liechtenstein/LK Sri Lanka/LR Liberia/LS Lesotho/LT Lithuania/LU Luxembourg/LV Latvia
    LY Libya/MA Morocco/MC Monaco/MD Moldova/ME Montenegro/MF Saint Martin/MG Madagascar/MH Marshall Islands
    MK North Macedonia/ML Mali/MM Myanmar/MN Mongolia/MO Macao/MP Northern Mariana Islands/MQ Martinique/MR Mauritania
    MS Montserrat/MT Malta/MU Mauritius/MV Maldives/MW Malawi/MX Mexico/MY Malaysia/MZ Mozambique/NA Namibia
    NC New Caledonia/NE Niger/NF Norfolk Island/NG Nigeria/NI Nicaragua/NL Netherlands/NO Norway/NP Nepal/NR Nauru
    NU Niue/NZ New Zealand/OM Oman/PA Panama/PE Peru/PF French Polynesia/PG Papua New Guinea/PH Philippines/PK Pakistan
    PL Poland/PM Saint Pierre and Miquelon/PN Pitcairn/PR Puerto Rico/PS Palestine/PT Portugal/PW Palau/PY Paraguay
    QA Qatar/RE Réunion/RO Romania/RS Serbia/RU Russia/RW Rwanda/SA Saudi Arabia/SB Solomon Islands/SC Seychelles
    SD Sudan/SE Sweden/SG Singapore/SH Saint Helena, Ascension and Tristan da Cunha/SI Slovenia/SJ Svalbard and Jan Mayen
    SK Slovakia/SL Sierra Leone/SM San Marino/SN Senegal/SO Somalia/SR Suriname/SS South Sudan/ST São Tomé and Príncipe
    SV El Salvador/SX Sint Maarten/SY Syria/SZ Eswatini/TC Turks and Caicos Islands/TD Chad
    TF French Southern Territories/TG Togo/TH Thailand/TJ Tajikistan/TK Tokelau/TL Timor-Leste/TM Turkmenistan
    TN Tunisia/TO Tonga/TR Türkiye/TT Trinidad and Tobago/TV Tuvalu/TW Taiwan/TZ Tanzania/UA Ukraine/UG Uganda
    UM United States Minor Outlying Islands/US United States/UY Uruguay/UZ Uzbekistan/VA Vatican City
    VC Saint Vincent and the Grenadines/VE Venezuela/VG British Virgin Islands/VI U.S. Virgin Islands/VN Vietnam
    VU Vanuatu/WF Wallis and Futuna/WS Samoa/XK Kosovo/YE Yemen/YT Mayotte/ZA South Africa/ZM Zambia/ZW Zimbabwe
"""
NAMES = {one[:2]: one[3:] for line in _NAMES.strip().splitlines() for one in line.strip().split("/")}
NO_COUNTRY = "?"  # no row has it


def by_code(tree: Filter, name: str, code: str) -> Filter:
    """Returns a filter whose conditions on the dimension `name` are conditions on `code`. Raises Refused."""
    match tree:
        case Compare(dimension=dimension) if dimension == name:
            return _by_code(tree, code)
        case Not():
            return Not(by_code(tree.part, name, code))
        case Done():
            return Done(by_code(tree.part, name, code), tree.is_done)
        case All():
            return All(tuple(by_code(part, name, code) for part in tree.parts))
        case Any():
            return Any(tuple(by_code(part, name, code) for part in tree.parts))
    return tree


def _by_code(compare: Compare, code: str) -> Compare:
    operator, is_not = compare.operator.removesuffix("_not"), compare.operator.endswith("_not")
    if operator not in ("is", "contains"):
        raise Refused(
            f"Names of countries are filtered by is and contains, not by {compare.operator}: ask for visit:country."
        )
    folded = str if compare.is_case_sensitive else str.casefold
    values = tuple(folded(value) for value in compare.values)
    is_whole = operator == "is"
    found = tuple(
        one
        for one, text in NAMES.items()
        if any(value == folded(text) if is_whole else value in folded(text) for value in values)
    )
    # What stands for a row without a country is no name, and is handed on.
    nothing = tuple(value for value in compare.values if is_whole and value in ("", NOT_SET))
    return Compare("is_not" if is_not else "is", code, found + nothing or (NO_COUNTRY,))
