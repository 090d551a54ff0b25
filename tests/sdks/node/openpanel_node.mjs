// A server that goes on when an answer is bad.
import { OpenPanel } from '@openpanel/sdk'

export async function visit({ url, key }) {
  const panel = new OpenPanel({ apiUrl: url, clientId: key, clientSecret: 'none' })
  await panel.track('signup', { profileId: 'user-42', plan: 'pro', seats: 3 })
  await panel.revenue(2997, { profileId: 'user-42', currency: 'EUR' })
  await panel.identify({ profileId: 'user-42', email: 'a@b.test' })
}
