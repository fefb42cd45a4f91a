/**
 * Every planted bug of the ops: the lists that the files `<definition>.mutants.ts` of this folder export. A new file is found
 * here without being named.
 */
import { readdirSync } from 'node:fs'
import type { Mutant } from './mutant.ts'

const folder = new URL('./', import.meta.url)
const ending = '.mutants.ts'
const names = readdirSync(folder)
  .filter((file) => file.endsWith(ending))
  .map((file) => file.slice(0, -ending.length))
  .sort()

/** The mutants of each definition, by the name of its file in src/ops. */
export const mutantsByDefinition: ReadonlyMap<string, readonly Mutant[]> = new Map(
  await Promise.all(
    names.map(async (name): Promise<[string, readonly Mutant[]]> => {
      const { mutants } = (await import(`./${name}.mutants.ts`)) as { mutants: readonly Mutant[] }
      return [name, mutants]
    }),
  ),
)

/** All of them. */
export const mutants: readonly Mutant[] = [...mutantsByDefinition.values()].flat()
