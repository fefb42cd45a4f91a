/**
 * The backends every law of this book is stated over.
 *
 * A backend that this runtime cannot start is skipped where everyone sees it, with the reason it gave.
 * SHADOWLLM_BACKENDS names those that must be here, separated by commas: with `reference,wasm` a missing wasm fails.
 * After each test a backend holds no buffer more than before it.
 */
import { afterEach, describe, expect, test } from 'vitest'
import type { Backend, BackendName } from '../../src/backends/backend.ts'
import { backendNames, createBackend } from '../../src/backends/select.ts'
import { MissingError } from '../../src/tensor/errors.ts'

interface UnderTest {
  readonly name: BackendName
  readonly backend: Backend | null
  /** Why there is none. */
  readonly reason: string
}

const required = (process.env.SHADOWLLM_BACKENDS ?? '').split(',').filter((name) => name !== '')
for (const name of required)
  if (!backendNames.includes(name as BackendName))
    throw new RangeError(`SHADOWLLM_BACKENDS: expected names from ${backendNames.join(', ')}, got ${name}`)

async function start(name: BackendName): Promise<UnderTest> {
  try {
    return { name, backend: await createBackend(name), reason: '' }
  } catch (error) {
    if (!(error instanceof MissingError) || required.includes(name)) throw error
    return { name, backend: null, reason: error.message }
  }
}

const underTest: readonly UnderTest[] = await Promise.all(backendNames.map(start))

/** States what `chapter` states once for every backend. */
export function overBackends(chapter: (backend: Backend) => void): void {
  for (const { name, backend, reason } of underTest) {
    if (backend === null) {
      test.skip(`${name} is not here: ${reason}`, () => {})
      continue
    }
    describe(name, () => {
      afterEach(() => expect(backend.liveBuffers, 'buffers left behind').toBe(0))
      chapter(backend)
    })
  }
}
