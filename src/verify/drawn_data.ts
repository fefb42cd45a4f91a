/**
 * The data of a law: arrays and choices that a seeded stream deals by name, as fast as `Data` deals them, drawn by fast-check.
 *
 * Of a case it is the last argument. Every name has a stream of its own, so that an array keeps its first numbers while a size
 * shrinks, and does not change with others. What was dealt is kept, for the report and for shrinking. A simplification is a rule
 * for a name ("0 from place 2 to 9", "ones") and no stored array, so that it still fits when sizes shrink after it. A seed and
 * its rules are plain data, which give the same arrays again.
 */
import fc from 'fast-check'
import { Data, type Dealable, type Shape, type Simpler } from '../testing/seeded_data.ts'

/** How what is dealt under a name is simplified. */
export interface Rule {
  /** Starts and ends of the places that hold the simplest number, or that a list leaves out. */
  readonly blank?: readonly (readonly [from: number, to: number])[]
  /** The name of a simpler form of the numbers. */
  readonly form?: string
  /** The most that a choice may be. */
  readonly most?: number
}

/** All that data is made from. */
export interface DataPlan {
  /** A 32-bit number. */
  readonly seed: number
  readonly rules: Readonly<Record<string, Rule>>
}

/** What was dealt under a name. */
export type Deal = DealtArray | DealtChoice

interface DealtArray {
  readonly name: string
  /** Null for a list of any length. */
  readonly shape: readonly number[] | null
  readonly values: Dealable
  readonly simpler: Simpler
}

interface DealtChoice {
  readonly name: string
  /** 0 is the simplest; null for what was only shown. */
  readonly choice: number | null
  /** The chosen value. */
  readonly shown: unknown
}

/** To the end of an array, whatever its length. */
const TO_THE_END = 2 ** 31 - 1

/** Data that a law draws. */
export class DrawnData extends Data {
  readonly plan: DataPlan
  /** What was dealt so far, in order. */
  readonly dealt: Deal[] = []

  constructor(plan: DataPlan) {
    super(plan.seed)
    this.plan = plan
  }

  /** The same data from its start: fast-check deals it anew for each try of a case. */
  [fc.cloneMethod](): DrawnData {
    return new DrawnData(this.plan)
  }

  override show(name: string, shown: unknown): void {
    this.dealt.push({ name: this.#freeName(name), choice: null, shown })
  }

  override deal<Dealt extends Dealable>(
    name: string,
    shape: Shape,
    make: (stream: Data) => Dealt,
    simpler: Simpler<Dealt>,
  ): Dealt {
    const own = this.#freeName(name)
    const sizes = typeof shape === 'number' ? [shape] : shape
    const again = (): Dealt => simplified(make(this.#streamOf(own)), simpler, this.plan.rules[own])
    let known: Dealt | undefined
    this.dealt.push({
      name: own,
      shape: simpler.isList ? null : sizes,
      // Made again when they are looked at: a predicate may write to what it was dealt, and a copy of each would cost as much.
      get values() {
        return (known ??= again())
      },
      simpler: simpler as unknown as Simpler,
    })
    return again()
  }

  protected override choose(
    name: string,
    make: (stream: Data) => number,
    valueOf: (choice: number) => unknown,
  ): number {
    const own = this.#freeName(name)
    const choice = Math.min(make(this.#streamOf(own)), this.plan.rules[own]?.most ?? TO_THE_END)
    this.dealt.push({ name: own, choice, shown: valueOf(choice) })
    return choice
  }

  #streamOf(name: string): Data {
    let hash = 0x811c9dc5
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
    return new Data(this.plan.seed ^ hash)
  }

  /** The name, with a number if it was used before. */
  #freeName(name: string): string {
    let [own, uses] = [name, 1]
    while (this.dealt.some((other) => other.name === own)) own = `${name} ${++uses}`
    return own
  }
}

function simplified<Dealt extends Dealable>(
  values: Dealt,
  { blank, isList = false, forms = {} }: Simpler<Dealt>,
  rule: Rule = {},
): Dealt {
  let simpler = rule.form !== undefined && rule.form in forms ? forms[rule.form](values) : values
  if (rule.blank === undefined) return simpler
  if (isList) return simpler.filter((_, place) => !isBlank(rule, place)) as Dealt
  if (blank === null) return simpler
  simpler = simpler.slice() as Dealt
  for (const [from, to] of rule.blank) simpler.fill(blank, from, to)
  return simpler
}

function isBlank({ blank = [] }: Rule, place: number): boolean {
  return blank.some(([from, to]) => place >= from && place < to)
}

/** Simpler data than the data that dealt this, the simplest first. */
function* simplerPlans({ plan, dealt }: DrawnData): Generator<DrawnData, void, void> {
  const withRule = (name: string, change: Rule): DrawnData =>
    new DrawnData({ ...plan, rules: { ...plan.rules, [name]: { ...plan.rules[name], ...change } } })
  for (const deal of dealt)
    if ('choice' in deal)
      for (const most of smallerChoices(deal.choice ?? 0)) yield withRule(deal.name, { most })
  const arrays = dealt.filter((deal) => 'values' in deal)
  const places = new Map(arrays.map((deal) => [deal, placesToBlank(deal, plan.rules[deal.name])]))
  for (const deal of arrays)
    if (places.get(deal)?.length) yield withRule(deal.name, { blank: [[0, TO_THE_END]] })
  for (const { name, values, simpler } of arrays) {
    const forms = Object.keys(simpler.forms ?? {})
    const known = forms.indexOf(plan.rules[name]?.form ?? '')
    for (const form of known < 0 ? forms : forms.slice(0, known))
      if (!isEqual(values, simpler.forms?.[form](values) ?? values)) yield withRule(name, { form })
  }
  for (const deal of arrays)
    for (const part of halvesAndParts(places.get(deal) ?? []))
      yield withRule(deal.name, { blank: withRange(plan.rules[deal.name]?.blank ?? [], part) })
}

/** 0, then halfway to the choice, and nearer. */
function* smallerChoices(choice: number): Generator<number, void, void> {
  for (let step = choice; step >= 1; step = Math.floor(step / 2)) yield choice - step
}

/** The places that a rule could blank besides those that it does: of numbers that are not blank, or of a list. */
function placesToBlank({ values, simpler }: DealtArray, rule: Rule = {}): number[] {
  const places: number[] = []
  if (simpler.isList) {
    // Places of the list before any was left out.
    for (let place = 0; places.length < values.length; place++) if (!isBlank(rule, place)) places.push(place)
  } else if (simpler.blank !== null)
    for (let place = 0; place < values.length; place++)
      if (!Object.is(values[place], simpler.blank)) places.push(place)
  return places
}

/** Parts of the places, as ranges: halves, then quarters, down to single ones. */
function* halvesAndParts(places: readonly number[]): Generator<[from: number, to: number], void, void> {
  for (let size = Math.ceil(places.length / 2); places.length > 1; size = Math.ceil(size / 2)) {
    for (let start = 0; start < places.length; start += size)
      yield [places[start], places[Math.min(start + size, places.length) - 1] + 1]
    if (size === 1) return
  }
}

/** Ranges with one more, which takes in those that it touches. */
function withRange(
  ranges: readonly (readonly [number, number])[],
  [from, to]: readonly [number, number],
): (readonly [number, number])[] {
  const apart = ranges.filter(([start, end]) => end < from || start > to)
  const touched = ranges.filter(([start, end]) => end >= from && start <= to)
  const starts = touched.map(([start]) => start)
  const ends = touched.map(([, end]) => end)
  return [...apart, [Math.min(from, ...starts), Math.max(to, ...ends)] as const]
}

function isEqual(one: Dealable, other: Dealable): boolean {
  return one.length === other.length && one.every((value, i) => Object.is(value, other[i]))
}

class DrawnDataArbitrary extends fc.Arbitrary<DrawnData> {
  readonly #seeds = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })

  override generate(random: fc.Random): fc.Value<DrawnData> {
    // Unbiased: one seed is as good as another.
    const seed = this.#seeds.generate(random, undefined).value
    return new fc.Value(new DrawnData({ seed, rules: {} }), undefined)
  }

  override canShrinkWithoutContext(value: unknown): value is DrawnData {
    return value instanceof DrawnData
  }

  override shrink(value: DrawnData): fc.Stream<fc.Value<DrawnData>> {
    return fc.stream(simplerPlans(value)).map((simpler) => new fc.Value(simpler, undefined))
  }
}

/** Any data. */
export const anyData: fc.Arbitrary<DrawnData> = new DrawnDataArbitrary()
