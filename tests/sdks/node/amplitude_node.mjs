// A server that waits until each of its events was sent, or was given up.
import amplitude from '@amplitude/analytics-node'

export async function visit({ url, key }) {
  const client = amplitude.createInstance()
  await client.init(key, { serverUrl: `${url}/2/httpapi`, flushIntervalMillis: 200 }).promise
  const who = { user_id: 'user-42', device_id: 'server-1' }
  const sent = [
    client.track('Signup', { plan: 'pro' }, who),
    client.revenue(new amplitude.Revenue().setPrice(9.99).setQuantity(3).setCurrency('EUR'), who),
    client.identify(new amplitude.Identify().set('color', 'red'), who),
    client.setGroup('org', 'acme', who),
  ]
  await Promise.all(sent.map((one) => one.promise))
}
