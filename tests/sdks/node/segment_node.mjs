import { Analytics } from '@segment/analytics-node'

export async function visit({ url, key, page }) {
  const analytics = new Analytics({ writeKey: key, host: url, flushInterval: 300 })
  analytics.on('error', () => {}) // a server that goes on when an answer is bad
  const context = { page: { url: page, referrer: 'http://news.test/', title: 'Pricing' }, locale: 'en-GB' }
  const userId = 'user-42'
  analytics.page({ userId, category: 'Docs', name: 'Pricing', properties: { url: page, plan: 'x' }, context })
  analytics.track({ userId, event: 'Order Completed', properties: { order_id: 'o-1', revenue: 49.9, currency: 'EUR' }, context })
  analytics.track({ userId, event: 'Order Refunded', properties: { total: 9.5, currency: 'EUR' } })
  analytics.identify({ userId, anonymousId: 'earlier', traits: { email: 'a@b.test' } })
  analytics.group({ userId, groupId: 'acme', traits: { size: 9 } })
  analytics.alias({ userId, previousId: 'earlier' })
  analytics.screen({ userId, name: 'Home' })
  await analytics.closeAndFlush({ timeout: 90_000 })
}
