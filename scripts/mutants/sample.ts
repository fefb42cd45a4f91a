/**
 * Which mutants are planted: a seeded sample, stratified by the folders of src in proportion to their lines, and by the kinds
 * of changes.
 */
import { type Module } from '../../spec/harness/syntax.ts'
import { Random } from '../../src/tensor/random.ts'
import { deriveMutants, kinds, type Kind, type Mutant } from './derive.ts'

/** The files that are not mutated, by the beginning of their paths, and why. */
const excluded: readonly { readonly path: string; readonly why: string }[] = [
  ...[
    'src/web/view/',
    'src/web/app.ts',
    'src/web/main.ts',
    'src/web/models_panel.ts',
    'src/web/verify_panel.ts',
  ].map((path) => ({ path, why: 'needs a browser' })),
  ...[
    'cuda/',
    'wasm/thread_',
    'wasm/threaded_',
    'wasm/work_queue.ts',
    'wasm/parallel_tuner.ts',
    'wasm/shared_import.ts',
  ].map((path) => ({
    path: `src/backends/${path}`,
    why: 'tested in the full tier only',
  })),
  ...[
    'src/cli/mask_picture.ts',
    'src/experiments/report/figure_words.ts',
    'src/experiments/report/html.ts',
    'src/experiments/report/html_tables.ts',
    'src/experiments/report/style.ts',
  ].map((path) => ({ path, why: 'only makes text for people' })),
]

/** Why a file is not mutated; null if it is mutated. */
export function whyExcluded(path: string): string | null {
  return excluded.find((rule) => path.startsWith(rule.path))?.why ?? null
}

/** All mutants that can be planted, by folder of src, and how many are left out, by reason. */
export interface Candidates {
  readonly folders: ReadonlyMap<string, { readonly lines: number; readonly mutants: readonly Mutant[] }>
  readonly leftOut: Readonly<Record<string, number>>
}

/** The folder of src that a file is in. */
export function folderOf(path: string): string {
  return path.split('/').slice(0, 2).join('/')
}

/** Derives the mutants of all modules. */
export function candidatesOf(modules: readonly Module[]): Candidates {
  const folders = new Map<string, { lines: number; mutants: Mutant[] }>()
  const leftOut: Record<string, number> = {}
  for (const module of modules) {
    const mutants = deriveMutants(module)
    const why = whyExcluded(module.path)
    if (why !== null) {
      leftOut[why] = (leftOut[why] ?? 0) + mutants.length
      continue
    }
    const name = folderOf(module.path)
    const folder = folders.get(name) ?? { lines: 0, mutants: [] }
    folders.set(name, folder)
    folder.lines += module.text.split('\n').length
    folder.mutants.push(...mutants)
  }
  return { folders, leftOut }
}

/** One place of the sample. The first free valid mutant of the queue takes it. */
export interface Slot {
  readonly folder: string
  readonly kind: Kind
  /** The mutants of this kind in this folder. */
  readonly queue: readonly Mutant[]
  /** All mutants of the folder, for a place that no mutant of this kind can take. */
  readonly others: readonly Mutant[]
}

/** The places of a sample. Each folder that has mutants gets at least one place. */
export function drawSlots({ folders }: Candidates, count: number, seed: number): Slot[] {
  const all = [...folders].filter(([, { mutants }]) => mutants.length > 0)
  const total = all.reduce((sum, [, { lines }]) => sum + lines, 0)
  const shares = all.map(([, { lines }]) => (count * lines) / total)
  const counts = shares.map((share) => Math.max(1, Math.floor(share)))
  // Largest remainders get the places that are left.
  const byLoss = shares.map((share, i) => ({ i, loss: share - counts[i] })).sort((a, b) => b.loss - a.loss)
  const left = count - counts.reduce((sum, n) => sum + n, 0)
  for (const { i } of byLoss.slice(0, Math.max(0, left))) counts[i]++
  const random = new Random(seed)
  // Kinds take turns over all folders, so that kinds whose mutants are often refused are sampled too.
  let turns: Kind[] = []
  const nextKind = (mutants: readonly Mutant[]): Kind => {
    for (;;) {
      const i = turns.findIndex((kind) => mutants.some((mutant) => mutant.kind === kind))
      if (i >= 0) return turns.splice(i, 1)[0]
      turns = [...turns, ...shuffled(kinds, random)]
    }
  }
  return all.flatMap(([folder, { mutants }], i) => {
    const others = shuffled(mutants, random)
    const queues = Map.groupBy(others, ({ kind }) => kind)
    return Array.from({ length: counts[i] }, () => {
      const kind = nextKind(mutants)
      return { folder, kind, queue: queues.get(kind) ?? [], others }
    })
  })
}

function shuffled<T>(values: readonly T[], random: Random): T[] {
  return [...random.permutation(values.length)].map((i) => values[i])
}
