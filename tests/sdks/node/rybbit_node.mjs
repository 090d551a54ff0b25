import { Rybbit } from '@rybbit/node'

export async function visit({ url, site, key }) {
  const client = new Rybbit({ analyticsHost: `${url}/api`, siteId: key, apiKey: 'none' })
  await client.pageview({
    hostname: site, pathname: '/pricing', querystring: '?utm_source=letter', page_title: 'Pricing', referrer: 'http://news.test/',
    user_id: 'user-42',
  })
  await client.event('Signup', { hostname: site, pathname: '/pricing', user_id: 'user-42' }, { plan: 'pro', seats: 3 })
}
