"""Lists the SDKs of all families."""

from tests.sdks import amplitude, ga4, mixpanel, plausible, posthog, rybbit, segment, umami, vercel
from tests.sdks.declared import Sdk

ALL: tuple[Sdk, ...] = (
    *amplitude.SDKS,
    *ga4.SDKS,
    *mixpanel.SDKS,
    *plausible.SDKS,
    *posthog.SDKS,
    *rybbit.SDKS,
    *segment.SDKS,
    *umami.SDKS,
    *vercel.SDKS,
)
