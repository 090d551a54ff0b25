// The protocol that posthog-node speaks where its environment says so.
process.env.POSTHOG_CAPTURE_MODE = 'v1'
const { PostHog } = await import('posthog-node')

export async function visit({ url, key, page }) {
  const posthog = new PostHog(key, { host: url, flushInterval: 500, fetchRetryDelay: 500 })
  const distinctId = 'user-42'
  posthog.capture({ distinctId, event: '$pageview', properties: { $current_url: page, $referrer: 'http://news.test/' } })
  posthog.capture({ distinctId, event: 'purchase', properties: { revenue: 49.9, currency: 'EUR' } })
  posthog.capture({ distinctId, event: '$autocapture' })
  posthog.identify({ distinctId, properties: { email: 'a@b.test' } })
  const awake = setInterval(() => {}, 1_000) // its own waiting lets the process end
  await posthog.shutdown(60_000)
  clearInterval(awake)
}
