/**
 * The page of the annotated specification: the reader's settings, and the figures for them.
 *
 * The page is whole without this: words, code, and figures for the default prompt. Settings are in the address of the page.
 */
import { now, pageDocument, startThread, type ThreadCode } from '../../platform/platform.ts'
import { UsageError } from '../../tensor/errors.ts'
import { RpcClient } from '../engine/worker_rpc.ts'
import { byId } from '../view/dom.ts'
import { figures } from './figures.ts'
import { startLawButtons } from './law_buttons.ts'
import type { SomeSteps } from './method.ts'
import { startReadouts } from './readout.ts'
import { addressOfSettings, readSettings, scopes, scoreSources, type Settings } from './settings.ts'

const code: ThreadCode = (Worker) => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
const rpc = new RpcClient((message) => thread.send(message))
const thread = startThread(code, {
  onMessage: rpc.receive,
  onError: ({ message }) => say(`The worker failed: ${message || 'its code did not load'}`),
})

/** How long after the last key values are computed. */
const PAUSE = 300

const { body } = pageDocument()
const form = byId<HTMLFormElement>('try')
const prompt = byId<HTMLTextAreaElement>('prompt')
const source = byId<HTMLSelectElement>('source')
const sparsity = byId<HTMLInputElement>('sparsity')
const scope = byId<HTMLSelectElement>('scope')
const order = byId<HTMLInputElement>('order')
/** The HTML of each figure that is shown. */
const shown = new Map<string, string>()
let steps: SomeSteps = {}
let running: AbortController | null = null
let waiting: ReturnType<typeof setTimeout> | undefined

function say(words: string): void {
  byId('state').textContent = words
}

/** The settings of the form. */
function chosen(): Settings {
  return {
    prompt: prompt.value,
    source: scoreSources.find((name) => name === source.value) ?? 'predicted',
    sparsity: Number(sparsity.value),
    scope: scopes.find((name) => name === scope.value) ?? 'global',
  }
}

/** Computes the steps and draws each when it comes. */
async function compute(): Promise<void> {
  running?.abort()
  const controller = (running = new AbortController())
  const { signal } = controller
  const settings = chosen()
  byId('share').textContent = `${Math.round(100 * settings.sparsity)} %`
  history.replaceState(null, '', addressOfSettings(location.href, settings, order.checked))
  say('Computing, on plain arrays …')
  body.classList.add('computing')
  const start = now()
  steps = {}
  try {
    for await (const more of rpc.iterate('steps', [settings], { signal })) {
      if (signal.aborted) return
      steps = { ...steps, ...(more as SomeSteps) }
      draw(settings)
    }
    say(`Computed here, by src/spec, in ${((now() - start) / 1000).toFixed(1)} s.`)
    body.classList.remove('computing')
  } catch (error) {
    if (!signal.aborted) say(error instanceof UsageError ? error.message : String(error))
  }
}

/** Draws the figures whose values are there. */
function draw(settings: Settings): void {
  for (const { address, draw: drawn } of figures) {
    const html = drawn(steps, settings)?.html
    const place = byId(`figure.${address}`)
    if (html === undefined || shown.get(address) === html) continue
    const isOpen = place.querySelector('details')?.open ?? false
    place.innerHTML = html
    shown.set(address, html)
    const details = place.querySelector('details')
    if (details) details.open = isOpen
  }
}

function later(): void {
  clearTimeout(waiting)
  waiting = setTimeout(() => void compute(), PAUSE)
}

const { settings, isSorted } = readSettings(location.href)
prompt.value = settings.prompt
source.value = settings.source
sparsity.value = String(settings.sparsity)
scope.value = settings.scope
order.checked = isSorted
body.classList.toggle('sorted', isSorted)
form.hidden = false
form.addEventListener('submit', (event) => event.preventDefault())
form.addEventListener('input', (event) => {
  body.classList.toggle('sorted', order.checked)
  if (event.target === order)
    history.replaceState(null, '', addressOfSettings(location.href, chosen(), order.checked))
  else later()
})
startReadouts(() => steps)
startLawButtons(rpc)
void compute().then(() => rpc.call('loadLaws', []))
