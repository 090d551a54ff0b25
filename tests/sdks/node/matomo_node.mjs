// A server that tracks a page and, all at once, what was done on it.
import MatomoTracker from 'matomo-tracker'

export async function visit({ url, key, page }) {
  const matomo = new MatomoTracker(Number(key), `${url}/matomo.php`)
  const visitor = { _id: '0123456789abcdef', uid: 'user-42', url: page }
  const heard = (send) => new Promise((seen) => {
    matomo.once('error', seen)
    send(seen)
  })
  await heard((seen) => {
    matomo.track({ ...visitor, action_name: 'Pricing', urlref: 'http://news.test/', cvar: JSON.stringify({ 1: ['plan', 'pro'] }) })
    setTimeout(seen, 1500) // it says nothing of a success
  })
  const events = [
    { ...visitor, e_c: 'form', e_a: 'signup', e_n: 'pro' },
    { ...visitor, idgoal: 0, ec_id: 'T-1', revenue: 29.97 },
  ]
  await heard((seen) => matomo.trackBulk(events, seen))
}
