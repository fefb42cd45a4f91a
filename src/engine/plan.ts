/**
 * A program laid out to be run: its steps in sections, the units that its values have, and the slots that values lie in.
 *
 * A section ends with a stream, by the taps of those names: what stands before the first layer, each layer, and what stands behind
 * the last. Its steps read each other and the stream that enters, so that a section can run in another backend than the one before
 * it. A place is a number in a section: 0 is the stream that enters, and the steps follow.
 */
import { channelSites, type ChannelSite } from '../masks/channels.ts'
import { stepsOf, type Parameter, type UnitKind, type Value } from '../spec/program.ts'
import { needsOf, type Need, type UnitsStep } from './needs.ts'

/** A step in its section. */
export interface Step {
  readonly value: Value
  readonly place: number
  /** The places of what it reads. */
  readonly of: readonly number[]
  /** The units of its result. */
  readonly need: Need | null
  /** Where in a layer a product reads, and whether it is the first to read there. */
  readonly reads: { readonly site: ChannelSite; readonly isFirst: boolean } | null
}

/** A step at which units are masked, and what follows from it. */
export interface UnitSite {
  readonly step: UnitsStep
  readonly place: number
  /** Numbers of a unit, which are the rows that it has in each matrix. */
  readonly size: number
  /** The products that make the units. */
  readonly makers: readonly Step[]
  /** The products that add the units up. */
  readonly readers: readonly Step[]
  /** The place of what is masked. */
  readonly inner: number
  /** The product before the activation function, where the units are neurons. */
  readonly gate: Step | null
  /** Where the units are heads. */
  readonly attention: HeadSite | null
  /** Whether nothing reads a skipped unit. Where something does, its zeros are computed. */
  readonly isSkippable: boolean
  /** Whether what is masked is read elsewhere too, and stays as it was. */
  readonly isApart: boolean
  /** Whether the units may be computed side by side: not where a step reads all of them to make some. */
  readonly isPackable: boolean
}

/** What heads have besides: keys and values, which later tokens read. */
export interface HeadSite {
  readonly step: Step
  readonly keyHeads: number // G
  /** The products that make them. */
  readonly makers: readonly Step[]
  /** The places of all steps up to them. */
  readonly places: ReadonlySet<number>
}

/** The steps from one stream to the next. */
export interface Section {
  /** The layer; null for the ends. */
  readonly layer: number | null
  /** The stream that enters; null where nothing stands before. */
  readonly entering: Value | null
  readonly steps: readonly Step[]
  readonly sites: readonly UnitSite[]
  /**
   * For each step where the stretch ends that begins with it: steps that run for one token as they ran for the one before, with no
   * value in between that is asked for.
   */
  readonly stretches: readonly number[]
  /** The slot of each place; null for ids and for the result of the program. */
  readonly slots: readonly (number | null)[]
}

/** A parameter, and how it is read. */
export interface ModelParameter extends Parameter {
  /** The layer that reads it; null for the ends. */
  readonly layer: number | null
  /** Whether it is read by its inputs (`combine`), and is held with a row for each of them. */
  readonly isTurned: boolean
  /** Whether it is a table of positions. */
  readonly isPositions: boolean
}

/** A program laid out. */
export interface Plan {
  readonly program: Value
  readonly sections: readonly Section[] // [L + 2]
  /** Numbers of a row of each slot. */
  readonly slotWidths: readonly number[]
  /** In the order in which they are first read. */
  readonly parameters: ReadonlyMap<string, ModelParameter>
}

/** The steps of a layer. */
export function layerOf({ sections }: Plan, layer: number): Section {
  return sections[layer + 1]
}

/** Where the units of a kind are masked in a layer. */
export function siteIn({ sites }: Section, kind: UnitKind): UnitSite {
  return sites.find(({ step }) => step.kind === kind) as UnitSite
}

/** Lays a program out. */
export function planOf(program: Value): Plan {
  const steps = stepsOf(program)
  const needs = needsOf(program)
  const readers = new Map<Value, Value[]>()
  for (const step of steps)
    for (const value of step.of) readers.set(value, [...(readers.get(value) ?? []), step])
  const { slots, widths } = assignSlots(steps, readers)
  const ends = steps.flatMap(({ tap }, i) => (tap?.startsWith('stream ') ? [i + 1] : []))
  const bounds = [0, ...ends, steps.length]
  const sections = bounds.slice(1).map((end, s): Section => {
    const begin = bounds[s]
    const entering = s === 0 ? null : steps[begin - 1]
    const layer = s === 0 || s === ends.length ? null : s - 1
    const own = placeSteps(entering, steps.slice(begin, end), layer, needs)
    const sites = own.flatMap((step) => (step.value.op === 'units' ? [siteOf(step, own, readers)] : []))
    return {
      layer,
      entering,
      steps: own,
      sites,
      stretches: stretchesOf(own, sites),
      slots: [entering, ...own.map(({ value }) => value)].map((value) => (value && slots.get(value)) ?? null),
    }
  })
  return { program, sections, slotWidths: widths, parameters: parametersIn(sections) }
}

function placeSteps(
  entering: Value | null,
  values: readonly Value[],
  layer: number | null,
  needs: ReadonlyMap<Value, Need>,
): Step[] {
  const places = new Map<Value, number>(values.map((value, i) => [value, i + 1]))
  if (entering) places.set(entering, 0)
  /** What the products of a layer read, in their order. */
  const read = new Map<Value, ChannelSite | undefined>()
  return values.map((value, i) => {
    const of = value.of.map((one) => {
      const place = places.get(one)
      if (place === undefined)
        throw new RangeError(
          `program: expected ${value.op} to read its own section, got ${one.op} of another`,
        )
      return place
    })
    const isProduct = layer !== null && (value.op === 'linear' || value.op === 'combine')
    const isFirst = isProduct && !read.has(value.of[0])
    if (isFirst) read.set(value.of[0], channelSites[read.size])
    const site = isProduct ? read.get(value.of[0]) : undefined
    return { value, place: i + 1, of, need: needs.get(value) ?? null, reads: site ? { site, isFirst } : null }
  })
}

/** Ops that depend on the position of a token. */
const atPositions: ReadonlySet<Value['op']> = new Set(['tokens', 'positions', 'rotate', 'attention'])

function stretchesOf(steps: readonly Step[], sites: readonly UnitSite[]): number[] {
  const asked = new Set(sites.map(({ inner }) => inner))
  const ends: number[] = []
  for (const { value, place } of steps.toReversed()) {
    const next = steps.at(place)
    const isLast = !next || asked.has(place) || [value, next.value].some(({ op }) => atPositions.has(op))
    ends.unshift(isLast ? place : ends[0])
  }
  return ends
}

function siteOf(
  { value, place, of }: Step,
  steps: readonly Step[],
  readers: ReadonlyMap<Value, readonly Value[]>,
): UnitSite {
  const step = value as UnitsStep
  const made = steps.filter(({ need }) => need?.at === step)
  const attending = made.find((one) => one.value.op === 'attention')
  const attention = attending ? headSiteOf(attending, steps) : null
  const makers = made.filter((one) => one.value.op === 'linear' && !attention?.places.has(one.place))
  const reading = steps.filter((one) => one.value.of.includes(step))
  return {
    step,
    place,
    inner: of[0],
    size: step.width / step.count,
    makers,
    gate: made.find((one) => one.value.tap?.startsWith('preActivation ')) ?? null,
    readers: reading,
    attention,
    isSkippable: reading.every((one) => one.value.op === 'combine'),
    isApart: readers.get(step.of[0])?.length !== 1,
    isPackable: made.every(
      (one) => one.value.op === 'linear' || one.of.every((at) => steps[at - 1]?.need?.at === step),
    ),
  }
}

function headSiteOf(step: Step, steps: readonly Step[]): HeadSite {
  const places = new Set<number>()
  const makers: Step[] = []
  const visit = (place: number): void => {
    const one = steps[place - 1] as Step | undefined
    if (!one?.need || places.has(place)) return
    places.add(place)
    if (one.value.op === 'linear') makers.push(one)
    else one.of.forEach(visit)
  }
  step.of.slice(1).forEach(visit)
  const { op } = step.value
  const keyHeads = op === 'attention' ? step.value.of[1].width / step.value.headSize : 0
  return { step, keyHeads, makers, places }
}

/** Whether a result may lie where the first of its operands did. */
const worksInPlace: ReadonlySet<Value['op']> = new Set([
  'rotate',
  'units',
  'add',
  'scale',
  'cap',
  'relu',
  'gate',
])

/**
 * The slot of each value. A slot is free again when the last step that reads its value has run; the narrowest free one that is
 * wide enough is taken.
 */
function assignSlots(
  steps: readonly Value[],
  readers: ReadonlyMap<Value, readonly Value[]>,
): { slots: Map<Value, number>; widths: number[] } {
  const order = new Map(steps.map((step, i) => [step, i]))
  const streams = steps.filter(({ tap }) => tap?.startsWith('stream '))
  const last = new Map<Value, number>()
  for (const step of steps)
    last.set(step, Math.max(-1, ...(readers.get(step) ?? []).map((reader) => order.get(reader) as number)))
  // What stands behind the layers runs for some rows of the stream at a time.
  if (streams.length > 0) last.set(streams[streams.length - 1], Infinity)
  const slots = new Map<Value, number>()
  const widths: number[] = []
  const free = new Set<number>()
  const take = (width: number): number => {
    const byWidth = [...free].sort((a, b) => widths[a] - widths[b])
    const slot = byWidth.find((one) => widths[one] >= width) ?? byWidth.at(-1) ?? widths.length
    free.delete(slot)
    widths[slot] = Math.max(widths[slot] ?? 0, width)
    return slot
  }
  for (const [i, step] of steps.entries()) {
    const ending = [...new Set(step.of)].filter((value) => slots.has(value) && last.get(value) === i)
    const [shared] = worksInPlace.has(step.op) ? ending.filter((value) => value === step.of[0]) : []
    const hasSlot = step.op !== 'tokens' && step.op !== 'positions' && i < steps.length - 1
    if (hasSlot) slots.set(step, shared ? (slots.get(shared) as number) : take(step.width))
    for (const value of ending) if (value !== shared) free.add(slots.get(value) as number)
  }
  return { slots, widths }
}

function parametersIn(sections: readonly Section[]): Map<string, ModelParameter> {
  const found = new Map<string, ModelParameter>()
  for (const { layer, steps } of sections)
    for (const { value } of steps) {
      const isTurned = value.op === 'combine'
      const isPositions = value.op === 'embedding' && value.of[0].op === 'positions'
      for (const parameter of parametersOf(value))
        if (!found.has(parameter.name))
          found.set(parameter.name, {
            ...parameter,
            layer,
            isTurned: isTurned && parameter.shape.length === 2,
            isPositions,
          })
    }
  return found
}

/** What a step reads of a checkpoint. */
export function parametersOf(value: Value): Parameter[] {
  const { weight = null, bias = null } = value as Partial<Record<'weight' | 'bias', Parameter | null>>
  return [weight, bias].filter((parameter) => parameter !== null)
}
