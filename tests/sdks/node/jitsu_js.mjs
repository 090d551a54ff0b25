// A server that goes on when an answer is bad.
import { jitsuAnalytics } from '@jitsu/js'

export async function visit({ url, key, page }) {
  const jitsu = jitsuAnalytics({ host: url, writeKey: `${key}:secret`, s2s: true })
  const sent = [
    () => jitsu.page({ url: page, title: 'Pricing', referrer: 'http://news.test/' }),
    () => jitsu.track('Order Completed', { order_id: 'o-1', revenue: 49.9, currency: 'EUR' }),
    () => jitsu.identify('user-42', { email: 'a@b.test' }),
    () => jitsu.group('acme', { size: 9 }),
  ]
  for (const send of sent) await send().catch(() => {})
}
