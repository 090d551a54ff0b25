/*
 * Shows how many visitors took each step of a funnel and how many were lost before it, and adds and removes funnels.
 */
import { useState } from 'preact/hooks';
import { usePanel } from '../api';
import { number, percentage } from '../format';
import { askedOf } from '../rows';
import { LINK } from '../shared';
import { facts, pick, pickOf } from '../state';
import type { PanelAnswer } from '../types';
import { Card, Do, More, Pick } from './Card';
import { Changeable, Suggested, useChange } from './Changeable';
import { Missing } from './Table';

const [STEPS_MIN, STEPS_MAX] = [2, 8];

export function Funnel() {
  const [isOpen, open] = useState(false);
  const { funnels = [], name = '' } = facts.value ?? {};
  const wanted = pickOf('funnel', '');
  const chosen = funnels.find(funnel => funnel.name === wanted) ?? funnels[0];
  if (LINK && !chosen) return null; // there is nothing to see, and nothing that a reader could do
  return (
    <Card
      name="funnel"
      title="Funnel"
      tools={
        <>
          {funnels.length > 1 && <Pick name="funnel" label="Funnel" options={funnels.map(({ name }) => [name, name])} />}
          {!LINK && (
            <button type="button" class="button small" onClick={() => open(true)}>
              {funnels.length ? 'Change' : 'Add a funnel'}
              {funnels.length > 0 && <span class="unseen"> funnels</span>}
            </button>
          )}
        </>
      }
    >
      {isSeen => (
        <>
          {chosen ? (
            <Steps key={chosen.name + chosen.steps.join()} name={chosen.name} isSeen={isSeen} />
          ) : (
            <div class="nothing">
              <Do what="the command" text={`forebay site set ${name} --funnel 'Buy=Visit /cart,purchase'`}>
                A funnel shows how many people go on from each step to the next, such as from the cart to the purchase. Add one here, or with a command:
              </Do>
            </div>
          )}
          {isOpen && <FunnelDialog close={() => open(false)} />}
        </>
      )}
    </Card>
  );
}

function Steps({ name, isSeen }: { name: string; isSeen: boolean }) {
  const found = usePanel('funnel', { ...askedOf('funnel'), parameters: { name } }, isSeen);
  const { answer } = found;
  return (
    <div class={found.isStale ? 'report stale' : 'report'} aria-busy={found.isLoading}>
      {answer ? <Drawn answer={answer} name={name} /> : <Missing panel={found} />}
      {answer && (
        <More panel="funnel" title={name}>
          Steps that a visitor took in this order, on one day
        </More>
      )}
    </div>
  );
}

function Drawn({ answer, name }: { answer: PanelAnswer; name: string }) {
  const at = (row: PanelAnswer['rows'][number], column: string) => row[answer.columns.indexOf(column)];
  return (
    <table class="funnel-steps">
      <caption class="unseen">Steps of {name}</caption>
      <thead>
        <tr>
          <th scope="col">Step</th>
          <th scope="col">Visitors</th>
          <th scope="col">Of step 1</th>
          <th scope="col">Lost</th>
        </tr>
      </thead>
      <tbody>
        {answer.rows.map((row, index) => {
          const [rate, lost] = [Number(at(row, 'conversion_rate') ?? 0), at(row, 'drop_off')];
          return (
            <tr key={index}>
              <th scope="row">
                <span class="label">{String(at(row, 'step'))}</span>
                <span class="way" aria-hidden="true">
                  <span style={{ width: `${rate}%` }} />
                </span>
              </th>
              <td>{number(Number(at(row, 'visitors')))}</td>
              <td>{percentage(rate)}</td>
              <td class={index && lost ? 'worse' : ''}>{index && typeof lost === 'number' ? percentage(lost) : '–'}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function FunnelDialog({ close }: { close: () => void }) {
  const [name, setName] = useState('');
  const [steps, setSteps] = useState(['', '']);
  const change = useChange('funnels');
  const said = steps.map(step => step.trim()).filter(Boolean);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!(await change.add({ name, steps: said }))) return;
    pick('funnel', name.trim());
    close();
  };
  return (
    <Changeable
      title="Funnels"
      close={close}
      items={(facts.value?.funnels ?? []).map(funnel => [funnel.name, funnel.name, funnel.steps.join(' → ')])}
      change={change}
      nothing="There is no funnel yet."
    >
      <form class="fields inner" onSubmit={submit}>
        <input type="text" required aria-label="Name of the funnel" placeholder="Name, such as Buy" value={name} onInput={event => setName(event.currentTarget.value)} />
        {steps.map((step, index) => (
          <input
            key={index}
            type="text"
            required={index < STEPS_MIN}
            aria-label={`Step ${index + 1}`}
            placeholder={index ? 'A goal, an event such as purchase' : 'A goal, or a page: Visit /cart'}
            list="funnel-steps"
            value={step}
            onInput={event => setSteps(steps.map((one, at) => (at === index ? event.currentTarget.value : one)))}
          />
        ))}
        <Suggested id="funnel-steps" hasGoals />
        <div class="end">
          <button type="button" class="button" disabled={steps.length >= STEPS_MAX} onClick={() => setSteps([...steps, ''])}>
            Add a step
          </button>
          <button type="submit" class="button strong" disabled={said.length < STEPS_MIN}>
            Add
          </button>
        </div>
      </form>
    </Changeable>
  );
}
