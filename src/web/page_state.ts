/**
 * The state of the page that its address holds: the prompt and the settings, each where it differs from the default, and what is
 * looked at: a token, a unit, the comparison with the oracle, units switched by hand. It is in the fragment, which browsers do not send to a server. An address is untrusted input: each value is checked, and one that
 * does not fit is refused by name.
 */
import { criterionOption } from '../criteria/index.ts'
import { scopeOption } from '../masks/budget.ts'
import type { UnitShape } from '../masks/mask.ts'
import { nameOption, rangeOption, seedOption, wholeOption, type OptionRecord } from '../tensor/option.ts'
import { decisions, studyPlanners, type StudyPlanner } from './engine/study_types.ts'
import type { TraceSettings } from './trace/trace.ts'
import { hasUnit, type Unit } from './trace/unit_facts.ts'

/** The prompt and the settings. */
export interface PageState extends TraceSettings {
  readonly prompt: string
}

/** The planners whose scores are those of the chosen criterion; with the others only the oracle's are. */
export const criterionPlanners: readonly StudyPlanner[] = ['prompt-plainact', 'oracle']

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

/** What is looked at. */
export interface View {
  /** Counted from 1; null for the last one. */
  readonly token: number | null
  readonly unit: Unit | null
  readonly compares: boolean
  /** Units that are switched off by hand, and on. */
  readonly off: readonly Unit[]
  readonly on: readonly Unit[]
}

/** What is looked at when the page opens. */
export const defaultView: View = { token: null, unit: null, compares: false, off: [], on: [] }

/** Characters of a list of units in an address, and the units that it names. */
const MAX_LIST = 2000
const MAX_UNITS = 1024

/** A unit such as `heads.1.0`, or a run of them such as `neurons.2.5-9`. */
const RUN = /^(heads|neurons)\.(\d{1,4})\.(\d{1,6})(?:-(\d{1,6}))?$/

/** The units of a run; undefined for a text that is none, and for more than fit into an address. */
function unitsOf(run: string): Unit[] | undefined {
  const [, kind, layer, first, last = first] = RUN.exec(run) ?? []
  const count = Number(last) - Number(first) + 1
  if (kind === undefined || !(count >= 1 && count <= MAX_UNITS)) return undefined
  return Array.from({ length: count }, (_, i) => ({
    kind: kind as Unit['kind'],
    layer: Number(layer),
    index: Number(first) + i,
  }))
}

const writeUnit = ({ kind, layer, index }: Unit): string => `${kind}.${layer}.${index}`

/** Units as runs, in order: `heads.4.6_neurons.2.5-9`. */
function writeUnits(units: readonly Unit[]): string {
  const runs: { readonly first: Unit; last: number }[] = []
  for (const unit of units.toSorted(byPlace)) {
    const run = runs.at(-1)
    const { kind, layer, index } = unit
    if (run?.first.kind === kind && run.first.layer === layer && run.last + 1 === index) run.last = index
    else runs.push({ first: unit, last: index })
  }
  return runs
    .map(({ first, last }) => `${writeUnit(first)}${last === first.index ? '' : `-${last}`}`)
    .join('_')
}

function byPlace(a: Unit, b: Unit): number {
  return Number(a.kind > b.kind) - Number(a.kind < b.kind) || a.layer - b.layer || a.index - b.index
}

const unitList: Field<readonly Unit[]> = {
  expected: `at most ${MAX_UNITS} units such as heads.1.0_neurons.2.5-9`,
  write: writeUnits,
  read(text) {
    const runs = text.length <= MAX_LIST ? text.split('_').map(unitsOf) : [undefined]
    const units = runs.flatMap((run) => run ?? [])
    return runs.includes(undefined) || units.length > MAX_UNITS ? undefined : units
  },
}

const viewFields: { readonly [Name in keyof View]: Field<View[Name]> } = {
  token: {
    expected: 'a whole number from 1',
    write: String,
    read: (text) => (/^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined),
  },
  unit: {
    expected: 'a unit such as heads.1.0',
    write: (unit) => (unit === null ? '' : writeUnit(unit)),
    read: (text) => (text.includes('-') ? undefined : unitsOf(text)?.[0]),
  },
  compares: { expected: 'true', write: String, read: (text) => (text === 'true' ? true : undefined) },
  off: unitList,
  on: unitList,
}

const viewNames = Object.keys(viewFields) as (keyof View)[]

/** The fragment of a state and of what is looked at. What an address cannot hold is left out. */
export function encodeState(state: PageState, view: View = defaultView): string {
  const entries = names.flatMap((name): [string, string][] => {
    const field = fields[name] as Field<unknown>
    const text = field.write(state[name])
    const isDefault = text === field.write(defaultState[name])
    return isDefault || field.read(text) === undefined ? [] : [[name, text]]
  })
  for (const name of viewNames) {
    const { write, read } = viewFields[name] as Field<unknown>
    const text = write(view[name])
    if (text !== write(defaultView[name]) && read(text) !== undefined) entries.push([name, text])
  }
  return new URLSearchParams(entries).toString()
}

/** One line about the first of some units that a model of this shape does not have; null if it has all of them. */
export function refusalOfUnits({ off, on }: Pick<View, 'off' | 'on'>, shape: UnitShape): string | null {
  for (const [name, units] of Object.entries({ off, on })) {
    const other = units.find((unit) => !hasUnit(shape, unit))
    if (other) return `address ${name}: expected units of the model, got ${writeUnit(other)}`
  }
  return null
}

/** One line about the text of a field that does not fit; null if it fits. @param last the highest number of a unit */
export function refusalOf(
  name: 'temperature' | 'seed' | 'head' | 'neuron',
  text: string,
  last: number = 0,
): string | null {
  const { expected, read } =
    name === 'head' || name === 'neuron' ? fieldOf(wholeOption('UNIT', 0, last)) : fields[name]
  const got = text.trim() === '' ? 'nothing' : JSON.stringify(text.slice(0, 40))
  return text.trim() !== '' && read(text.trim()) !== undefined
    ? null
    : `${name}: expected ${expected}, got ${got}`
}

/** The content of an address. */
export interface ReadState {
  readonly state: PageState
  readonly view: View
  /** A line for each value that was refused; the default stands in its place. */
  readonly refused: readonly string[]
}

/** Reads a fragment, such as `prompt=Once&sparsity=85`. One without `=` is not of a state, and gives null. */
export function readState(fragment: string): ReadState | null {
  if (fragment !== '' && !fragment.includes('=')) return null
  const refused: string[] = []
  const given = new URLSearchParams(fragment)
  const readAll = <Values extends object>(
    known: { readonly [Name in keyof Values]: Field<Values[Name]> },
    defaults: Values,
  ): Values => {
    const entries = (Object.keys(known) as (keyof Values & string)[]).map((name) => {
      const text = given.get(name)
      const value = text === null ? defaults[name] : known[name].read(text)
      if (value === undefined)
        refused.push(
          `address ${name}: expected ${known[name].expected}, got ${JSON.stringify(text?.slice(0, 40))}`,
        )
      return [name, value ?? defaults[name]]
    })
    return Object.fromEntries(entries) as Values
  }
  const [state, asked] = [readAll(fields, defaultState), readAll<View>(viewFields, defaultView)]
  const off = new Set(asked.off.map(writeUnit))
  const twice = asked.on.find((unit) => off.has(writeUnit(unit)))
  if (twice) refused.push(`address on: expected units that off does not name, got ${writeUnit(twice)}`)
  const view = twice ? { ...asked, on: defaultView.on } : asked
  const all = [...names, ...viewNames]
  for (const name of new Set(given.keys()))
    if (!(all as string[]).includes(name))
      refused.push(`address: expected ${all.join(', ')}, got ${JSON.stringify(name.slice(0, 40))}`)
  return { state, view, refused }
}
