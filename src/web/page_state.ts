/**
 * The state of the page that its address holds: the prompt and the settings, each where it differs from the default. It is in
 * the fragment, which browsers do not send to a server. An address is untrusted input: each value is checked, and one that
 * does not fit is refused by name.
 */
import { criterionOption } from '../criteria/index.ts'
import { scopeOption } from '../masks/budget.ts'
import { nameOption, rangeOption, seedOption, wholeOption, type OptionRecord } from '../tensor/option.ts'
import { decisions, studyPlanners, type StudyPlanner } from './engine/study_types.ts'
import type { TraceSettings } from './trace/trace.ts'

/** The prompt and the settings. */
export interface PageState extends TraceSettings {
  readonly prompt: string
}

/** The state of an address without a fragment. */
export const defaultState: PageState = {
  prompt: 'Once upon a time, there was a little girl who',
  planner: 'shadow',
  criterion: 'plainact',
  scope: 'global',
  decides: 'once',
  sparsity: 0.5,
  temperature: 0.8,
  seed: 5,
}

/** The planners of the page: all but the one that needs a calibration. */
export const pagePlanners: readonly StudyPlanner[] = studyPlanners.filter((name) => name !== 'static')

/** The highest sparsity of the page, in percent. */
const MAX_PERCENT = 95
/** Characters of a prompt in an address. */
const MAX_PROMPT = 2000

/** How a value is written in an address, and read from it; undefined if it does not fit. */
interface Field<Value> {
  readonly expected: string
  write(value: Value): string
  read(text: string): Value | undefined
}

type Fields = { readonly [Name in keyof PageState]: Field<PageState[Name]> }

/** What an option takes, as a text spells it. */
const fieldOf = <Value>({ words, holds, read }: OptionRecord): Field<Value> => ({
  expected: words,
  write: String,
  read: (text) => {
    const value = read(text)
    return holds(value) ? (value as Value) : undefined
  },
})

const percents = fieldOf<number>(wholeOption('SPARSITY', 0, MAX_PERCENT))

const fields: Fields = {
  prompt: {
    expected: `at most ${MAX_PROMPT} characters`,
    write: (value) => value,
    read: (text) => (text.length <= MAX_PROMPT ? text : undefined),
  },
  sparsity: {
    expected: percents.expected,
    write: (value) => String(Math.round(100 * value)),
    read: (text) => {
      const percent = percents.read(text)
      return percent === undefined ? undefined : percent / 100
    },
  },
  planner: fieldOf(nameOption('PLANNER', pagePlanners)),
  criterion: fieldOf(criterionOption),
  scope: fieldOf(scopeOption),
  decides: fieldOf(nameOption('DECIDES', decisions)),
  temperature: fieldOf(rangeOption('TEMPERATURE', 0, 2)),
  seed: fieldOf(seedOption),
}

const names = Object.keys(fields) as (keyof PageState)[]

/** The fragment of a state. What an address cannot hold is left out. */
export function encodeState(state: PageState): string {
  const entries = names.flatMap((name): [string, string][] => {
    const field = fields[name] as Field<unknown>
    const text = field.write(state[name])
    const isDefault = text === field.write(defaultState[name])
    return isDefault || field.read(text) === undefined ? [] : [[name, text]]
  })
  return new URLSearchParams(entries).toString()
}

/** The content of an address. */
export interface ReadState {
  readonly state: PageState
  /** A line for each value that was refused; the default stands in its place. */
  readonly refused: readonly string[]
}

/** Reads a fragment, such as `prompt=Once&sparsity=85`. One without `=` is not of a state, and gives null. */
export function readState(fragment: string): ReadState | null {
  if (fragment !== '' && !fragment.includes('=')) return null
  const refused: string[] = []
  const given = new URLSearchParams(fragment)
  const read = names.map((name) => {
    const text = given.get(name)
    const field = fields[name] as Field<unknown>
    const value = text === null ? defaultState[name] : field.read(text)
    if (value === undefined)
      refused.push(`address ${name}: expected ${field.expected}, got ${JSON.stringify(text?.slice(0, 40))}`)
    return [name, value ?? defaultState[name]]
  })
  for (const name of new Set(given.keys()))
    if (!Object.hasOwn(fields, name))
      refused.push(`address: expected ${names.join(', ')}, got ${JSON.stringify(name.slice(0, 40))}`)
  return { state: Object.fromEntries(read) as unknown as PageState, refused }
}
