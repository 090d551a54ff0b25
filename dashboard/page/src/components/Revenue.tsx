/*
 * Shows the revenue, each currency by itself, and the visits and revenue of each campaign.
 */
import { askedOf } from '../rows';
import { facts } from '../state';
import { Card, Do, Pick } from './Card';
import { CardTable } from './Table';

export function Revenue() {
  const by = String(askedOf('revenue').parameters?.dimension);
  return (
    <Card
      name="revenue"
      title="Revenue"
      tools={
        <Pick
          name="revenue"
          label="Revenue by"
          options={[
            ['', 'By currency'],
            ['event', 'By event'],
            ['page', 'By page'],
            ['country', 'By country'],
            ['device', 'By device'],
          ]}
        />
      }
    >
      {isSeen => (
        <CardTable
          key={by}
          panel="revenue"
          title="Revenue"
          columns={['revenue', 'purchases', 'buyers']}
          isWanted={isSeen}
          nothing={
            <Do what="the code" text="forebay('purchase', {plan: 'pro'}, {revenue: {amount: '49.90', currency: 'EUR'}})">
              Send an amount and its currency with an event:
            </Do>
          }
        />
      )}
    </Card>
  );
}

export function Campaigns() {
  const site = facts.value?.name ?? '';
  const columns = ['visitors', 'bounces', ...(facts.value?.currencies.length ? ['revenue'] : [])];
  return (
    <Card name="campaigns" title="Campaigns">
      {isSeen => (
        <CardTable
          panel="campaigns"
          title="Campaigns"
          columns={columns}
          isWanted={isSeen}
          nothing={
            <Do what="the address" text={`https://${site}/?utm_source=newsletter&utm_medium=email&utm_campaign=spring`}>
              Add these parameters to links that you share, and see here which of them people follow:
            </Do>
          }
        />
      )}
    </Card>
  );
}
