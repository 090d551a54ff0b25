import { PostHog } from 'posthog-node'

export async function visit({ url, key, page }) {
  const posthog = new PostHog(key, { host: url, flushInterval: 500, fetchRetryDelay: 500 })
  const distinctId = 'user-42'
  posthog.capture({ distinctId, event: '$pageview', properties: { $current_url: page, $referrer: 'http://news.test/' } })
  posthog.capture({ distinctId, event: 'purchase', properties: { $current_url: page, sku: 'A-1', revenue: 49.9, currency: 'EUR' }, groups: { company: 'acme' } })
  posthog.capture({ distinctId, event: 'refund', properties: { revenue: -9.5, currency: 'EUR' } })
  posthog.identify({ distinctId, properties: { email: 'a@b.test' } })
  posthog.alias({ distinctId, alias: 'earlier' })
  posthog.groupIdentify({ groupType: 'company', groupKey: 'acme', properties: { size: 9 } })
  await posthog.shutdown(60_000)
}
