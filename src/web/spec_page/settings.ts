/**
 * What a reader chooses, and how the address of the page says it, so that a link shows what its sender saw.
 */
import type { Budget } from '../../spec/select.ts'
import type { PageState } from '../page_state.ts'
import { glossary } from '../view/glossary.ts'
import { deciding } from '../view/planner_words.ts'

/** The source of the mask: the predictor, or a substitute. */
export const scoreSources = ['predicted', 'oracle', 'static', 'random'] as const
export type ScoreSource = (typeof scoreSources)[number]

/** The choices of a reader. */
export interface Settings {
  readonly prompt: string
  readonly source: ScoreSource
  readonly sparsity: number
  readonly scope: Budget['scope']
}

/** The choices when the page opens. */
export const defaultSettings: Settings = {
  prompt: 'Once upon a time, there was a little girl who',
  source: 'predicted',
  sparsity: 0.5,
  scope: 'global',
}

export const scopes: readonly Budget['scope'][] = ['global', 'per-layer', 'hybrid']

/** The settings in an address; the default for what is missing or of another form. */
export function readSettings(address: string): { readonly settings: Settings; readonly isSorted: boolean } {
  const { searchParams } = new URL(address)
  const sparsity = Number(searchParams.get('sparsity') ?? NaN)
  const settings = {
    prompt: searchParams.get('prompt') ?? defaultSettings.prompt,
    source: scoreSources.find((name) => name === searchParams.get('scores')) ?? defaultSettings.source,
    sparsity: sparsity >= 0 && sparsity <= 1 ? sparsity : defaultSettings.sparsity,
    scope: scopes.find((name) => name === searchParams.get('scope')) ?? defaultSettings.scope,
  }
  return { settings, isSorted: searchParams.get('order') === 'sorted' }
}

/** The planner behind each source. The live page offers all but static, which needs a calibration. */
export const planners = { predicted: 'shadow', oracle: 'oracle', static: 'static', random: 'random' } as const

/** Who decides, in words. */
export const decidingWords: Readonly<Record<ScoreSource, string>> = {
  predicted: `The predictor decides. ${glossary.predictor}`,
  oracle: glossary.oracle,
  static: deciding.static,
  random: deciding.random,
}

/**
 * The page at an address with the settings of the live page; with the predictor where it does not offer the planner. They are in the
 * fragment, which browsers do not send to a server: the live page uploads no prompt. `at` is the definition that the page opens at.
 */
export function specificationAddress(
  address: string,
  { prompt, planner, sparsity, scope }: PageState,
): string {
  const source = scoreSources.find((name) => planners[name] === planner) ?? defaultSettings.source
  const url = new URL(withoutFragmentState(address))
  url.search = ''
  const { searchParams } = new URL(addressOfSettings(url.href, { prompt, source, sparsity, scope }, false))
  if (searchParams.size === 0) return url.href
  if (url.hash !== '') searchParams.set('at', url.hash.slice(1))
  url.hash = String(searchParams)
  return url.href
}

/** An address with settings of its fragment where others are; the same if it has none there. */
export function withoutFragmentState(address: string): string {
  const url = new URL(address)
  if (!url.hash.includes('=')) return address
  const { at = '', ...settings } = Object.fromEntries(new URLSearchParams(url.hash.slice(1)))
  for (const [name, value] of Object.entries(settings)) url.searchParams.set(name, value)
  url.hash = at
  return url.href
}

/** The highest sparsity of the live page, in percent. */
const MAX_LIVE = 95

/** What the live page shows otherwise, as the end of a link to it. */
export function liveDifference({ sparsity, source }: Settings): string {
  const told = [
    source === 'static' ? 'with the predictor in place of static scores' : '',
    100 * sparsity > MAX_LIVE ? `at ${MAX_LIVE} %, its highest` : '',
  ].filter((words) => words !== '')
  return told.length === 0 ? '' : ` (${told.join(', ')})`
}

/** The live page with these settings, but for `liveDifference`. */
export function livePageAddress({ prompt, sparsity, scope, source }: Settings): string {
  const state = new URLSearchParams({
    prompt,
    sparsity: String(Math.min(MAX_LIVE, Math.round(100 * sparsity))),
    scope,
    planner: planners[source === 'static' ? 'predicted' : source],
    temperature: '0',
  })
  return `../live/#${state}`
}

/** The address with these settings; what is as by default is left out. */
export function addressOfSettings(address: string, settings: Settings, isSorted: boolean): string {
  const url = new URL(address)
  const set = (name: string, value: string, usual: string): void => {
    if (value === usual) url.searchParams.delete(name)
    else url.searchParams.set(name, value)
  }
  set('prompt', settings.prompt, defaultSettings.prompt)
  set('scores', settings.source, defaultSettings.source)
  set('sparsity', String(settings.sparsity), String(defaultSettings.sparsity))
  set('scope', settings.scope, defaultSettings.scope)
  set('order', isSorted ? 'sorted' : 'place', 'place')
  return url.href
}
