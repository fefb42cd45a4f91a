/**
 * `shadowllm learn`: the same command goes on with what was learnt, and one with any other setting is refused.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSafetensors } from '../../../src/io/safetensors.ts'
import { sha256File } from '../../../src/platform/platform.ts'
import { sourceEntry } from '../../../src/predictor/predictor_file.ts'
import { closing } from '../../../src/tensor/tensor_source.ts'
import { writeModel } from '../options/small_files.ts'
import type { CliResult } from '../run_cli.ts'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-learn-'))
afterAll(() => rmSync(folder, { recursive: true }))
const at = (name: string): string => join(folder, name)
const sizes = ['--prompt', '12', '--continuation', '8']

beforeAll(async () => {
  const sentence = 'The captain looked at the sea, and the men looked at him. '
  for (const [name, count] of [
    ['sea.txt', 20],
    ['ship.txt', 24],
  ] as const)
    writeFileSync(at(name), sentence.repeat(count))
  await writeModel(at('model'), 1)
  await writeModel(at('other-model'), 2)
  for (const [traces, seed] of [
    ['traces', '0'],
    ['other-traces', '1'],
  ]) {
    const input = ['-m', at('model'), '--text', at('sea.txt'), '--criteria', 'plainact,l2norm', '--moments']
    const args = ['calibrate', ...input, '--output', at(traces), '--limit', '2', '--seed', seed, ...sizes]
    expect(await runInside(args)).toMatchObject({ code: 0, stderr: '' })
  }
})

test.each([
  [2, 0],
  [7, 1],
])(
  'neurons of a model of %d layers are predicted from layer %d, the last one in its first quarter',
  async (layers, layer) => {
    const name = `layers-${layers}`
    await writeModel(at(name), 1, { layers })
    const input = ['-m', at(name), '--text', at('sea.txt')]
    const calibrated = ['--criteria', 'plainact', '--output', at(`${name}.traces`), '--limit', '2']
    expect(await runInside(['calibrate', ...input, ...calibrated, ...sizes])).toMatchObject({ code: 0 })
    const learnt = ['--calibration', at(`${name}.traces`), '--output', at(`${name}.learnt`), '--steps', '1']
    const { stdout } = await runInside(['learn', ...input, ...learnt, ...sizes, '--json'])
    expect(JSON.parse(stdout).card.sourceLayer).toBe(layer)
  },
)

describe('when all steps are taken', () => {
  const learn = (...args: string[]): Promise<CliResult> => {
    const input = ['-m', at('model'), '--calibration', at('traces'), '--text', at('sea.txt'), ...sizes]
    return runInside(['learn', ...input, '--output', at('learnt'), '--steps', '3', '--json', ...args])
  }
  const written = (): Buffer[] => ['learnt', 'learnt.learning'].map((name) => readFileSync(at(name)))
  let before: Buffer[]
  beforeAll(async () => {
    expect(JSON.parse((await learn()).stdout)).toMatchObject({ steps: 3, taken: 3 })
    before = written()
  })

  test('the same command takes none, and writes the same predictor', async () => {
    expect(JSON.parse((await learn()).stdout)).toMatchObject({ steps: 3, taken: 0, kl: null })
    expect(written()).toEqual(before)
  })

  test('a line tells that it is used as it was learnt, or for other masks', async () => {
    const input = ['-m', at('model'), '--text', at('sea.txt'), '--by', 'stream', '--context', '16']
    const shadow = ['--windows', '8', '--planner', 'shadow', '--predictor', at('learnt')]
    const told = async (...flags: string[]): Promise<string> => {
      const { code, stderr } = await runInside(['perplexity', ...input, ...shadow, ...flags])
      expect(code).toBe(0)
      // The text is short, which another line says.
      return stderr.replace(/^the perplexity of \d+ tokens says little .*\n/m, '')
    }
    const words = '--scope per-layer --prefill dense'
    const other = `${at('learnt')}: learnt with`
    expect(await told()).toBe(`${at('learnt')}: used as it was learnt, ${words}\n`)
    expect(await told('--scope', 'global')).toBe(`${other} --scope per-layer, used with --scope global\n`)
    expect(await told('--prefill', 'masked')).toBe(`${other} --prefill dense, used with --prefill masked\n`)
    for (const silent of ['--quiet', '--json']) expect(await told(silent)).toBe('')
    const own = at('model/predictor.safetensors')
    copyFileSync(at('learnt'), own)
    const { stderr } = await runInside(['chat', '-m', at('model'), '--planner', 'shadow'])
    expect(stderr).toContain(`${own}: used as it was learnt, ${words}`)
    const said = await runInside(['chat', '-m', at('model')], {
      input: ['/planner shadow', '/sparsity 0.3', '/planner random'],
    })
    rmSync(own)
    const [shadow1, shadow2, random] = said.stdout.split('\n')
    expect(shadow1).toContain(`; ${own}: used as it was learnt, ${words}`)
    expect(shadow2).toContain(`; ${own}: used as it was learnt, ${words}`)
    expect(random).not.toContain('learnt')
  })

  test('a window that is longer than the context is refused by its flags', async () => {
    const { code, stderr } = await learn('--prompt', '3000')
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^shadowllm: --prompt and --continuation: expected at most \d+ tokens together \(the model's context\), got 3000 \+ 8 \[CONTEXT_LENGTH\]\n$/,
    )
  })

  // {NAME} is a file of the folder.
  test.each<[flag: string, differing: string[]]>([
    ['-m {other-model}', ['model']],
    ['--calibration {other-traces}', ['calibration']],
    ['--criterion l2norm', ['criterion']],
    ['--text {ship.txt}', ['data', 'text']],
    ['--prompt 13', ['data']],
    ['--continuation 7', ['data']],
    ['--seed 1', ['data']],
    ['--sparsity 0.25', ['headSparsity', 'neuronSparsity']],
    ['--head-sparsity 0', ['headSparsity']],
    ['--neuron-sparsity 0.25', ['neuronSparsity']],
    ['--scope global', ['scope']],
    ['--prefill masked', ['prefill']],
    ['--compensate least-squares', ['compensate', 'moments']],
    ['--steps 4', ['data', 'steps']],
    ['--rate 0.1', ['rate']],
  ])('%s is refused, what differs is named, and the files stay as they are', async (flag, differing) => {
    const args = flag.split(' ').map((part) => part.replace(/^\{(.+)\}$/, (_, name: string) => at(name)))
    const { code, stdout, stderr } = await learn(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^shadowllm: [^\n]+ \[RESUME\]\n$/)
    const [asked, found] = [...stderr.matchAll(/\{[^}]+\}/g)].map(
      ([text]) => JSON.parse(text) as Record<string, unknown>,
    )
    const names = Object.keys({ ...asked, ...found })
    expect(names.filter((name) => asked[name] !== found[name])).toEqual(differing)
    expect(written()).toEqual(before)
  })
})

describe('with compensation', () => {
  const learn = (calibration: string, ...args: string[]): Promise<CliResult> => {
    const input = ['-m', at('model'), '--calibration', at(calibration), '--text', at('sea.txt'), ...sizes]
    return runInside(['learn', ...input, '--output', at('made-up'), '--steps', '2', '--json', ...args])
  }
  const compensated = ['--compensate', 'least-squares'] as const

  test('the file says that its scores were learnt through compensated masks, and by which moments', async () => {
    expect(JSON.parse((await learn('traces', ...compensated)).stdout)).toMatchObject({ taken: 2 })
    const source = await closing(openSafetensors(at('made-up')), ({ metadata }) => metadata.get(sourceEntry))
    expect(JSON.parse(source as string)).toMatchObject({
      compensate: 'least-squares',
      moments: await sha256File(at('traces/moments.safetensors')),
    })
    const others = ['--moments', at('other-traces/moments.safetensors')]
    const { code, stderr } = await learn('traces', ...compensated, ...others)
    expect([code, stderr]).toEqual([2, expect.stringContaining('[RESUME]')])
    expect(JSON.parse((await learn('traces', ...compensated)).stdout)).toMatchObject({ taken: 0 })
  })

  test.each([
    [
      'no moments',
      'layers-2.traces',
      [...compensated],
      4,
      /expected --calibration with moments.* \[MOMENTS_MISSING\]/,
    ],
    [
      'moments that are not read',
      'traces',
      ['--moments', 'x'],
      2,
      /expected --compensate.*, got none \[FLAGS\]/,
    ],
    ['means', 'traces', ['--compensate', 'mean'], 2, /one of none, least-squares, got mean \[COMPENSATE\]/],
  ])('%s: refused in one line', async (_, calibration, args, expected, words) => {
    const { code, stdout, stderr } = await learn(calibration, ...args)
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toMatch(words)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })
})
