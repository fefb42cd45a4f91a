/**
 * The committed CUDA module is what the sources in cuda/ compile to, byte for byte, where nvcc is.
 */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  architectures,
  compileModule,
  symbols,
  modulePath,
  usageOnAll,
  usageTable,
} from '../../../scripts/cuda/module.ts'
import { root } from '../../../scripts/sources.ts'
import { whyMissing } from '../../../scripts/tool.ts'

const committed = readFileSync(modulePath, 'utf8')
const noNvcc = await whyMissing('nvcc')

describe.skipIf(noNvcc !== null)(`by nvcc${noNvcc === null ? '' : ` (skipped: ${noNvcc})`}`, () => {
  test('the committed module is what the sources compile to, twice', async () => {
    const [first, second] = await Promise.all([compileModule(), compileModule()])
    expect(first === second, 'two builds are equal').toBe(true)
    expect(committed === first, 'run `npm run build:cuda` and commit the result').toBe(true)
  })

  let usages: Awaited<ReturnType<typeof usageOnAll>> = []
  beforeAll(async () => {
    usages = await usageOnAll()
  })

  test('the table in cuda/README.md is the one `npm run build:cuda` prints', () => {
    expect(readFileSync(`${root}cuda/README.md`, 'utf8')).toContain(usageTable(usages))
  })

  test.each(architectures)('on %s no kernel keeps registers in memory', (architecture) => {
    const usage = usages[architectures.indexOf(architecture)]
    expect(usage.map(({ kernel }) => kernel).sort()).toEqual([...symbols].sort())
    for (const { kernel, registers, stack, spilled } of usage) {
      expect([stack, spilled], kernel).toEqual([0, 0])
      expect(registers, kernel).toBeGreaterThan(0)
    }
  })
})
