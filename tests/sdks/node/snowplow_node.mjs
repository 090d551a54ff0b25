// A server that sends a batch, and again what was not taken.
import { buildPageView, buildSelfDescribingEvent, buildStructEvent, newTracker } from '@snowplow/node-tracker'

export async function visit({ url, key, page }) {
  let heard
  const sent = new Promise((seen) => { heard = seen })
  // What was refused it keeps, and sends with its next events or when it is asked to.
  const failed = (_, willRetry) => (willRetry ? setTimeout(() => tracker.flush(), 300) : heard())
  const tracker = newTracker(
    { namespace: 'sp', appId: key, encodeBase64: false },
    { endpoint: url, bufferSize: 3, onRequestSuccess: () => heard(), onRequestFailure: failed },
  )
  tracker.setUserId('user-42')
  tracker.track(buildPageView({ pageUrl: page, pageTitle: 'Pricing', referrer: 'http://news.test/' }))
  tracker.track(buildStructEvent({ category: 'shop', action: 'add', label: 'A-1', value: 2 }))
  tracker.track(buildSelfDescribingEvent({ event: { schema: 'iglu:com.acme/sign_up/jsonschema/1-0-0', data: { plan: 'pro' } } }))
  tracker.flush()
  await Promise.race([sent, new Promise((seen) => setTimeout(seen, 60000))])
}
