/**
 * The state of a run, which is written after every mutant, and the table of its results.
 */
import type { Mutant } from './derive.ts'
import type { Verdict } from './judge.ts'
import type { Slot } from './sample.ts'

/** A mutant and its verdict. `invalid`: the type check refuses it. `gone`: the sources no longer have its line. */
export interface Entry extends Mutant, Partial<Omit<Verdict, 'verdict'>> {
  verdict: Verdict['verdict'] | 'waiting' | 'invalid' | 'equivalent' | 'gone'
  /** Why it is equivalent. */
  why?: string
  seconds?: number
}

/** The state of a run. */
export interface State {
  /** The commit in which the mutants are planted. */
  readonly commit: string
  readonly seed: number
  /** How many mutants are excluded by rule, by reason. */
  readonly leftOut: Readonly<Record<string, number>>
  readonly mutants: Entry[]
}

/** After this many refused mutants a place of the sample is open to the other kinds. */
const PATIENCE = 8

/** How many mutants one type check has at most. */
const CHECKED_TOGETHER = 48

/**
 * Fills the places of a sample with mutants that the type check accepts.
 * @param refused the files that the type check refuses while these mutants, at most one per file, are planted
 * @returns the chosen mutants, then the refused ones
 */
export async function chooseValid(
  slots: readonly Slot[],
  refused: (mutants: readonly Mutant[]) => Promise<ReadonlySet<string>>,
): Promise<Entry[]> {
  const taken = new Set<Mutant>()
  const chosen = new Map<Slot, Mutant>()
  const invalid: Mutant[] = []
  const tries = new Map<Slot, number>()
  for (;;) {
    const open = slots.filter((slot) => !chosen.has(slot))
    const ahead = Math.max(1, Math.floor(CHECKED_TOGETHER / open.length))
    // One mutant per file, so that a refusal of the file is a refusal of its mutant.
    const files = new Set<string>()
    const batch = open.map((slot) => {
      const patient = (tries.get(slot) ?? 0) < PATIENCE
      const free = [...(patient ? slot.queue : []), ...slot.others].filter((mutant) => !taken.has(mutant))
      const mutants: Mutant[] = []
      for (const mutant of free) {
        if (mutants.length === ahead || files.has(mutant.file)) break
        files.add(mutant.file)
        mutants.push(mutant)
        taken.add(mutant)
      }
      return { slot, mutants }
    })
    if (files.size === 0) break
    const bad = await refusedOf(
      batch.flatMap(({ mutants }) => mutants),
      refused,
    )
    for (const { slot, mutants } of batch) {
      for (const mutant of mutants) {
        if (bad.has(mutant)) {
          invalid.push(mutant)
          tries.set(slot, (tries.get(slot) ?? 0) + 1)
        } else if (chosen.has(slot)) taken.delete(mutant)
        else chosen.set(slot, mutant)
      }
    }
  }
  return [
    ...slots.flatMap((slot): Entry[] => {
      const mutant = chosen.get(slot)
      return mutant ? [{ ...mutant, verdict: 'waiting' }] : []
    }),
    ...invalid.map((mutant): Entry => ({ ...mutant, verdict: 'invalid' })),
  ]
}

/** The mutants, of different files, without which the type check accepts the others. */
async function refusedOf(
  mutants: readonly Mutant[],
  refused: (mutants: readonly Mutant[]) => Promise<ReadonlySet<string>>,
): Promise<Set<Mutant>> {
  const bad = new Set<Mutant>()
  for (;;) {
    const standing = mutants.filter((mutant) => !bad.has(mutant))
    const files = standing.length === 0 ? new Set<string>() : await refused(standing)
    if (files.size === 0) return bad
    const guilty = standing.filter(({ file }) => files.has(file))
    for (const mutant of guilty) bad.add(mutant)
    if (guilty.length > 0) continue
    // Only files without a mutant are refused, so each mutant is checked alone.
    for (const mutant of standing) if ((await refused([mutant])).size > 0) bad.add(mutant)
  }
}

/** A line for each valid mutant. */
export function tableOf(entries: readonly Entry[]): string {
  return entries
    .filter(({ verdict }) => verdict !== 'invalid')
    .map(({ file, line, kind, before, after, verdict, by, why, tried, of, seconds }) => {
      const change = `${oneLine(before)} -> ${oneLine(after) || '(nothing)'}`
      const test = by ? `${by.spec}: ${by.test || 'outside of its tests'}` : (why ?? '')
      const files = tried === undefined ? '' : `${tried} of ${of} files, ${seconds} s`
      const said = verdict === 'survived' ? 'SURVIVED' : verdict
      return `${[`${file}:${line}`, kind, change, said, files, test].filter(Boolean).join(' | ')}\n`
    })
    .join('')
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 70 ? `${line.slice(0, 67)}...` : line
}

/** The rate, and the mutants that it leaves out. */
export function summaryOf({ commit, seed, leftOut, mutants }: State): string {
  const count = (...verdicts: Entry['verdict'][]): number =>
    mutants.filter(({ verdict }) => verdicts.includes(verdict)).length
  const found = count('found', 'timeout')
  const judged = found + count('survived', 'undecided')
  const rate = judged === 0 ? 'none' : `${((100 * found) / judged).toFixed(1)} %`
  const excluded = Object.entries(leftOut).map(([why, n]) => `${n} ${why}`)
  return [
    `commit ${commit.slice(0, 12)}, seed ${seed}: ${found} of ${judged} found (${rate})`,
    `${count('timeout')} by a hang, ${count('undecided')} undecided; ${count('equivalent')} equivalent, ${count('invalid')} invalid, ${count('gone')} gone, ${count('waiting')} not judged`,
    ...(excluded.length > 0 ? [`excluded by rule: ${excluded.join(', ')}`] : []),
    '',
  ].join('\n')
}
