// A server that goes on when an answer is bad. The SDK sends each event by itself, in the query of a GET, or several by POST.
import Mixpanel from 'mixpanel'

const heard = (send) => new Promise((ended) => send(ended))

export async function visit({ url, key }) {
  const client = Mixpanel.init(key, { host: url.replace('http://', ''), protocol: 'http', keepAlive: false })
  const who = { distinct_id: 'user-42' }
  await heard((ended) => client.track('Signup', { ...who, plan: 'pro', $insert_id: 'signup-1' }, ended))
  await heard((ended) => client.track('Purchase', { ...who, revenue: 29.97, currency: 'EUR', time: new Date() }, ended))
  await heard((ended) => client.people.track_charge('user-42', 12.5, {}, {}, ended))
  await heard((ended) => client.alias('visitor-1', 'user-42', ended))
  await heard((ended) => client.track_batch([{ event: 'First', properties: { ...who } }, { event: 'Second', properties: { ...who } }], ended))
}
