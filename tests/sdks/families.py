"""Lists the SDKs of all families."""

from tests.sdks import amplitude, ga4, mixpanel, plausible, posthog, segment, umami
from tests.sdks.declared import Sdk

ALL: tuple[Sdk, ...] = (
    *amplitude.SDKS,
    *ga4.SDKS,
    *mixpanel.SDKS,
    *plausible.SDKS,
    *posthog.SDKS,
    *segment.SDKS,
    *umami.SDKS,
)
