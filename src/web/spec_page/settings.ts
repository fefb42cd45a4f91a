/**
 * What a reader chooses, and how the address of the page says it, so that a link shows what its sender saw.
 */
import type { Budget } from '../../spec/select.ts'

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
    prompt: searchParams.get('prompt') || defaultSettings.prompt,
    source: scoreSources.find((name) => name === searchParams.get('scores')) ?? defaultSettings.source,
    sparsity: sparsity >= 0 && sparsity <= 1 ? sparsity : defaultSettings.sparsity,
    scope: scopes.find((name) => name === searchParams.get('scope')) ?? defaultSettings.scope,
  }
  return { settings, isSorted: searchParams.get('order') === 'sorted' }
}

/** The planner behind each source. The live page offers all but static, which needs a calibration. */
export const planners = { predicted: 'shadow', oracle: 'oracle', static: 'static', random: 'random' } as const

/** The live page with these settings; with the predictor where it does not offer the planner. */
export function livePageAddress({ prompt, sparsity, scope, source }: Settings): string {
  const state = new URLSearchParams({
    prompt,
    sparsity: String(Math.min(95, Math.round(100 * sparsity))),
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
