// A server that goes on when an answer is bad.
import { Umami } from '@umami/node'

export async function visit({ url, site, key }) {
  const umami = new Umami({ websiteId: key, hostUrl: url })
  const sent = [
    () => umami.track({ url: '/pricing?utm_source=letter', hostname: site, title: 'Pricing', referrer: 'http://news.test/' }),
    () => umami.track('signup', { plan: 'pro', seats: 3 }),
    () => umami.track({ name: 'purchase', url: '/checkout', hostname: site, data: { sku: 'A-1', revenue: 49.9, currency: 'EUR' } }),
    () => umami.identify({ email: 'a@b.test', plan: 'pro' }),
  ]
  for (const send of sent) await send().catch(() => {})
}
