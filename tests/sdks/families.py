"""Lists the SDKs of all families."""

from tests.sdks import amplitude, mixpanel, plausible, umami
from tests.sdks.declared import Sdk

ALL: tuple[Sdk, ...] = (*amplitude.SDKS, *mixpanel.SDKS, *plausible.SDKS, *umami.SDKS)
