/**
 * The sections that run on the CUDA emulator although they take minutes there: those that SHADOWLLM_EMULATE names. The
 * emulator runs in the full tier only.
 *
 *   SHADOWLLM_EMULATE=criteria,engine npm run test:full -- spec/criteria spec/engine
 *   SHADOWLLM_EMULATE=all npm run test:full
 *
 * A section is a folder of spec/.
 */
import { readdirSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const suite = fileURLToPath(new URL('..', import.meta.url))

/** The names of all sections. */
export function sectionNames(): string[] {
  const entries = readdirSync(suite, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

/** The section of a spec file in a folder. */
export function sectionOf(path: string): string {
  return relative(suite, path).split(/[\\/]/)[0]
}

/**
 * The named sections, separated by commas; `all` means every section.
 * @throws RangeError for an unknown name
 */
export function readEmulated(text: string | undefined, sections = sectionNames()): string[] {
  const names = (text ?? '').split(',').filter((name) => name !== '')
  for (const name of names)
    if (name !== 'all' && !sections.includes(name))
      throw new RangeError(
        `SHADOWLLM_EMULATE: expected all, or names from ${sections.join(', ')}, got ${name}`,
      )
  return names.includes('all') ? sections : names
}
