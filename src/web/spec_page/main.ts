/**
 * The page of the annotated specification: the reader's settings, and the figures for them.
 *
 * The page is whole without this: words, code, and figures for the default prompt. It fetches nothing until a setting changes. What
 * follows from scores that it has (the mask, its curve) is computed here at once; a worker computes the rest, on a model that
 * it fetches then. Laws are tried in a worker of their own. Settings are in the address of the page.
 */
import { now, pageDocument, startThread, type ThreadCode } from '../../platform/platform.ts'
import { selectMask } from '../../spec/select.ts'
import { UsageError } from '../../tensor/errors.ts'
import { RpcClient } from '../engine/worker_rpc.ts'
import { byId } from '../view/dom.ts'
import { emptyPrompt } from '../view/glossary.ts'
import { budgetOf, randomScores } from './quick_steps.ts'
import { figures, type Figure } from './figures.ts'
import { unpackValues, type PackedValues } from './given_values.ts'
import { startLawButtons } from './law_buttons.ts'
import type { SomeSteps } from './method.ts'
import { startReadouts } from './readout.ts'
import { sameBits } from './same_steps.ts'
import {
  addressOfSettings,
  decidingWords,
  defaultSettings,
  liveDifference,
  livePageAddress,
  readSettings,
  scopes,
  scoreSources,
  withoutFragmentState,
  type Settings,
} from './settings.ts'
import { startStops } from './stops.ts'
import { stations } from './strip.ts'

const code: ThreadCode = (Worker) => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })

/** A worker that starts when it is first asked. */
function lazyWorker(): () => RpcClient {
  let rpc: RpcClient | null = null
  return () => {
    if (rpc !== null) return rpc
    const own = (rpc = new RpcClient((message) => thread.send(message)))
    const thread = startThread(code, {
      onMessage: own.receive,
      onError: ({ message }) =>
        own.break(new Error(`The worker failed: ${message || 'its code did not load'}`)),
    })
    return own
  }
}

const [stepsWorker, lawsWorker] = [lazyWorker(), lazyWorker()]

/** What the values are of. */
const MODEL = 'Model: tiny-opt, weights of four bits; greedy, as the live page at temperature 0.'

/** How long after the last key values are computed. */
const PAUSE = 300

const { body } = pageDocument()
const form = byId<HTMLFormElement>('try')
const prompt = byId<HTMLTextAreaElement>('prompt')
const source = byId<HTMLSelectElement>('source')
const sparsity = byId<HTMLInputElement>('sparsity')
const scope = byId<HTMLSelectElement>('scope')
const order = byId<HTMLInputElement>('order')
const check = byId<HTMLButtonElement>('check')
const given = unpackValues(JSON.parse(byId('values').textContent ?? '') as PackedValues)
/** The HTML of each figure that is shown. */
const shown = new Map<string, string>()
let steps: SomeSteps = {
  ...given,
  scores: given.predicted,
  mask: selectMask(given.predicted, budgetOf(defaultSettings)),
}
/** The prompt that the steps are of. */
let stepsOf = defaultSettings.prompt
let running: AbortController | null = null
let waiting: ReturnType<typeof setTimeout> | undefined

/** Says how far the page is. @param isRefused whether it cannot compute what is asked, so that old values stay */
function say(words: string, isRefused = false): void {
  const state = byId('state')
  state.textContent = words
  state.parentElement?.classList.toggle('refused', isRefused)
  prompt.setAttribute('aria-invalid', String(isRefused))
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

/** Shows the settings in the address, and in the link to the live page. */
function showSettings(settings: Settings): void {
  byId('share').textContent = `${Math.round(100 * settings.sparsity)} %`
  byId('decides').textContent = decidingWords[settings.source]
  history.replaceState(null, '', addressOfSettings(location.href, settings, order.checked))
  const link = byId<HTMLAnchorElement>('live')
  link.href = livePageAddress(settings)
  link.textContent = `This prompt on the live page${liveDifference(settings)}`
}

/** The scores of settings, where they follow from what is there. */
function scoresHere({ source }: Settings): SomeSteps['scores'] {
  if (source === 'random') return steps.predicted && randomScores(steps.predicted)
  return source === 'static' ? undefined : steps[source === 'oracle' ? 'plainact' : 'predicted']
}

/** Computes the steps and draws each when it comes. */
async function compute(): Promise<void> {
  running?.abort()
  const controller = (running = new AbortController())
  const { signal } = controller
  const settings = chosen()
  showSettings(settings)
  check.hidden = true
  const start = now()
  if (settings.prompt !== stepsOf) steps = {}
  const scores = scoresHere(settings)
  // What depended on other settings is not there any more.
  const { tokens, context, features, predicted, plainact, dense } = steps
  steps = { tokens, context, features, predicted, plainact, dense }
  if (scores) {
    steps = { ...steps, scores, mask: selectMask(scores, budgetOf(settings)) }
  }
  draw(settings)
  say('Computing …')
  const onProgress = (value: unknown): void => {
    const { loaded, total } = value as { loaded: number; total: number }
    const size = (bytes: number): string => (bytes / 1e6).toFixed(1)
    say(`Fetching the model, once: ${size(loaded)} ${total > 0 ? `of ${size(total)} ` : ''}MB …`)
  }
  try {
    const told = stepsWorker().iterate('steps', [settings, 'engine'], { signal, onProgress })
    for await (const more of told) {
      if (signal.aborted) return
      stepsOf = settings.prompt
      steps = { ...steps, ...(more as SomeSteps) }
      draw(settings)
    }
    const seconds = ((now() - start) / 1000).toFixed(1)
    say(`${MODEL} Computed here in ${seconds} s: scores and masks by src/spec, whole texts by the engine.`)
    check.hidden = false
  } catch (error) {
    if (signal.aborted) return
    if (error instanceof UsageError)
      say(
        `${error.message}. The figures are still those of the prompt before; the live page takes longer prompts.`,
        true,
      )
    else say(String(error))
  }
}

/** Computes the same by the specification alone, and says whether the bits are equal. */
async function checkSteps(): Promise<void> {
  const [settings, shownSteps] = [chosen(), steps]
  check.disabled = true
  const start = now()
  let own: SomeSteps = {}
  const seconds = (): string => ((now() - start) / 1000).toFixed(1)
  // A setting that changes meanwhile has the line for itself.
  const by = running
  const tell = (): void => {
    const [done, all] = [own, shownSteps].map((some) => Object.keys(some).length)
    if (running === by)
      say(
        `Computing the same by src/spec alone, on plain arrays: ${done} of ${all} parts after ${seconds()} s …`,
      )
  }
  tell()
  const telling = setInterval(tell, 500)
  try {
    for await (const more of lawsWorker().iterate('steps', [settings, 'spec']))
      own = { ...own, ...(more as SomeSteps) }
    const verdict = sameBits(own, shownSteps) ? 'has the same bits everywhere' : 'DIFFERS'
    if (running === by) say(`src/spec alone ${verdict}; it took ${seconds()} s.`)
  } catch (error) {
    if (running === by) say(String(error))
  }
  clearInterval(telling)
  check.disabled = false
}

/** Draws the figures whose values are there, and marks those that show the values of other settings. */
function draw(settings: Settings): void {
  const titles = new Map(stations.map(({ address, title }) => [address, title(settings.source)]))
  for (const { address, isOfPrompt, draw: drawn } of [...stations, ...figures] as Figure[]) {
    const html = drawn(steps, settings)?.html
    const place = byId(`figure.${address}`)
    place.ariaBusy = String(html === undefined && !(isOfPrompt && settings.prompt === stepsOf))
    if (html === undefined) continue
    const title = titles.get(address)
    if (title !== undefined && place.previousElementSibling) place.previousElementSibling.textContent = title
    if (shown.get(address) === html) continue
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

const address = withoutFragmentState(location.href)
if (address !== location.href) {
  history.replaceState(null, '', address)
  pageDocument().getElementById(location.hash.slice(1))?.scrollIntoView()
}
const { settings, isSorted } = readSettings(address)
prompt.value = settings.prompt
prompt.placeholder = emptyPrompt
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
  else if (event.target === prompt) later()
  else void compute()
})
prompt.addEventListener('keydown', (event) => {
  // Enter that ends a composition (of Chinese or Japanese, say) belongs to it.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  clearTimeout(waiting)
  void compute()
})
check.addEventListener('click', () => void checkSteps())
startReadouts(() => ({ steps, source: chosen().source }))
startLawButtons(lawsWorker)
startStops()
// What the page jumps to stands below the bar, however high its message makes it; where the bar scrolls away, at the top.
new ResizeObserver(() => {
  const { position, display } = getComputedStyle(form)
  const isAbove = position === 'sticky' && display !== 'contents'
  pageDocument().documentElement.style.scrollPaddingTop = isAbove ? `${form.offsetHeight + 16}px` : ''
}).observe(form)
showSettings(settings)
say(`${MODEL} Values by src/spec, from when this page was built: change a setting for yours.`)
// A link that asks for other values.
if (JSON.stringify(settings) !== JSON.stringify(defaultSettings)) void compute()
