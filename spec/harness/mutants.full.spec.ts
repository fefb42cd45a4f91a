/**
 * Mutants are planted in a clone. The checkout is never changed, and the clone is clean after a mutant was judged.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Checkout } from '../../scripts/mutants/checkout.ts'
import { deriveMutants } from '../../scripts/mutants/derive.ts'
import { Judge } from '../../scripts/mutants/judge.ts'
import { parseModule, root } from './syntax.ts'

const file = 'src/masks/budget.ts'

test.skipIf(!existsSync(join(root, '.git')))(
  'a clone has a mutant only while it is judged, and the checkout never has it',
  async () => {
    const here = readFileSync(join(root, file), 'utf8')
    let folder: string
    {
      using checkout = new Checkout()
      folder = checkout.folder
      const read = (): string => readFileSync(join(folder, file), 'utf8')
      const clean = read()
      const [mutant] = deriveMutants(parseModule({ path: file, text: clean }))
      const inside = await checkout.with([mutant], () => Promise.resolve(read()))
      expect(inside).not.toBe(clean)
      expect(read()).toBe(clean)
      const failing = checkout.with([mutant], () => Promise.reject(new Error('judge broke')))
      await expect(failing).rejects.toThrow('judge broke')
      expect(read()).toBe(clean)
      expect(execFileSync('git', ['status', '--porcelain', 'src'], { cwd: folder, encoding: 'utf8' })).toBe(
        '',
      )
    }
    expect(readFileSync(join(root, file), 'utf8')).toBe(here)
    expect(existsSync(folder)).toBe(false)
  },
)

test.skipIf(!existsSync(join(root, '.git')))(
  'a script in a clone is killed once it is silent or late',
  async () => {
    using checkout = new Checkout()
    const run = (limits: { silence: number; seconds?: number }) =>
      checkout.run('vitest/vitest.mjs', ['run', '--maxWorkers=1', 'spec/masks'], { ...limits, seed: 1 })
    expect(await run({ silence: 0.05 })).toMatchObject({ code: null, killed: 'silent' })
    expect(await run({ silence: 60, seconds: 0.05 })).toMatchObject({ code: null, killed: 'late' })
  },
)

test.skipIf(!existsSync(join(root, '.git')))(
  'a mutant is found by the nearest file that can find it',
  async () => {
    using checkout = new Checkout()
    const judge = new Judge(checkout, 1)
    const file = 'src/cli/interrupts.ts'
    const mutants = deriveMutants(parseModule({ path: file, text: readFileSync(join(root, file), 'utf8') }))
    const mutant = mutants.filter(({ kind }) => kind === 'boundary')[0]
    const specs = ['spec/masks/overlap.spec.ts', 'spec/cli/interrupts.spec.ts', 'spec/masks/budget.spec.ts']
    expect(await judge.judge(mutant, specs)).toMatchObject({
      verdict: 'found',
      by: { spec: specs[1], test: expect.stringContaining('signals of one key press') },
      tried: 2,
      of: 3,
    })
  },
)
