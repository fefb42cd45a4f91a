/**
 * `shadowllm convert`: its output, and that a ctrl-C or a refusal leaves no partial file.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeConfig, parseConfig } from '../../../src/engine/config.ts'
import { initialWeights } from '../../../src/engine/initial_weights.ts'
import { openModelFolder } from '../../../src/io/load.ts'
import { openSafetensors } from '../../../src/io/safetensors.ts'
import { writeSafetensors } from '../../../src/io/safetensors_writer.ts'
import { smallConfig, writeModel } from '../options/small_files.ts'
import { tinyFolder } from '../run_cli.ts'
import { runInside } from '../run_inside.ts'
import { largeCheckpoint } from '../large_checkpoint.ts'

const root = mkdtempSync(join(tmpdir(), 'shadowllm-cli-convert-'))
afterAll(() => rmSync(root, { recursive: true }))
let folder: string
let count = 0
beforeEach(() => {
  folder = join(root, `${count++}`)
  mkdirSync(folder)
})

test('a folder becomes a folder that generates the same', async () => {
  const to = join(folder, 'to')
  const result = await runInside(['convert', 'embedded', to, '--shard-size', '4MB'])
  expect([result.code, result.stderr]).toEqual([0, ''])
  expect(result.stdout).toContain('model.safetensors.index.json')
  expect(result.stdout).toMatch(new RegExp(`^${to}: \\d+ tensors, \\d+ MiB$`, 'm'))
  const generate = ['generate', 'Once', '--max-tokens', '8', '--quiet', '-m']
  expect(await runInside([...generate, to])).toEqual(await runInside([...generate, 'embedded']))
})

test('--json says what was written, left out and repeated', async () => {
  const to = join(folder, 'x.safetensors')
  const result = await runInside(['convert', `${tinyFolder}/pytorch_model.bin`, to, '--json'])
  expect(result.code).toBe(0)
  const source = await openSafetensors(to)
  const bytes = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  await source.close()
  expect(JSON.parse(result.stdout)).toMatchObject({
    output: to,
    files: [{ name: 'x.safetensors', bytes: statSync(to).size }],
    bytes,
    tensors: 36,
    repeated: [],
    leftOut: ['lm_head.weight'],
  })
})

test('refusals end with their codes, and leave nothing', async () => {
  writeFileSync(join(folder, 'bad.bin'), 'no checkpoint')
  writeFileSync(join(folder, 'there.safetensors'), '')
  for (const [args, code, line] of [
    [['bad.bin', 'to'], 3, 'TORCH_FORMAT'],
    [['none.bin', 'to'], 3, 'MODEL_MISSING'],
    [['bad.bin', 'there.safetensors/to'], 2, 'OUTPUT'],
    [['bad.bin', 'no/such/folder'], 2, 'OUTPUT'],
  ] as const) {
    const result = await runInside(['convert', ...args.map((path) => join(folder, path))])
    expect([result.code, result.stdout]).toEqual([code, ''])
    expect(result.stderr).toMatch(new RegExp(`^shadowllm: [^\\n]+ \\[${line}\\]\\n$`))
  }
  const again = await runInside(['convert', tinyFolder, join(folder, 'there.safetensors')])
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('--force')])
  expect(readdirSync(folder)).toEqual(['bad.bin', 'there.safetensors'])
})

test.each([
  ['mm.safetensor', '(did you mean mm.safetensors?)'],
  ['mm.SAFETENSORS', '(did you mean mm.safetensors?)'],
  ['mm.ggu', '(did you mean mm.gguf?)'],
  ['out.txt', '(for a folder, end it with /)'],
  ['pytorch_model.bin', '(for a folder, end it with /)'],
])('an output %s, which would be a folder, is refused', async (name, hint) => {
  const result = await runInside(['convert', tinyFolder, join(folder, name)])
  expect([result.code, result.stdout]).toEqual([2, ''])
  expect(result.stderr).toContain('output: expected a folder, or NAME.safetensors or NAME.gguf, got ')
  expect(result.stderr.replaceAll(`${folder}/`, '')).toContain(`got ${name} ${hint} [OUTPUT]`)
  expect(readdirSync(folder)).toEqual([])
})

test.each(['opt', 'opt-1.3b', 'model.Q4_1', '.hidden', 'out.txt/'])(
  'an output %s is a folder',
  async (name) => {
    const result = await runInside(['convert', tinyFolder, join(folder, name)])
    expect([result.code, result.stderr]).toEqual([0, ''])
    expect(readdirSync(join(folder, name))).toContain('model.safetensors')
    // One that is there already is asked for as such.
    const again = await runInside(['convert', tinyFolder, join(folder, name.replace('/', '')), '--force'])
    expect([again.code, again.stderr]).toEqual([0, ''])
  },
)

/** A model of the Llama family, with a tokenizer of bytes. */
async function writeLlama(to: string, seed = 3): Promise<void> {
  await writeModel(to, seed)
  const { vocabulary, positions } = smallConfig
  const sizes = { layers: 2, width: 16, heads: 4, neurons: 12, vocabulary, positions, tied: true }
  const json = {
    model_type: 'llama',
    num_hidden_layers: sizes.layers,
    hidden_size: sizes.width,
    num_attention_heads: sizes.heads,
    intermediate_size: sizes.neurons,
    vocab_size: vocabulary,
    max_position_embeddings: positions,
    tie_word_embeddings: true,
  }
  writeFileSync(join(to, 'config.json'), JSON.stringify(json))
  const weights = initialWeights(makeConfig({ ...sizes, family: 'llama' }), { seed, deviation: 0.3 })
  const tensors = [...weights].map(
    ([name, { shape, values }]) => [name, { dtype: 'F32', shape, data: values as Float32Array }] as const,
  )
  await writeSafetensors(join(to, 'model.safetensors'), new Map(tensors))
}

describe('a smaller model', () => {
  const model = join(root, 'llama')
  const [mask, traces] = [join(root, 'mask.safetensors'), join(root, 'traces')]
  const moments = join(traces, 'moments.safetensors')
  beforeAll(async () => {
    await writeLlama(model)
    const windows = ['--limit', '4', '--prompt', '12', '--continuation', '8', '--threads', '1']
    const text = join(root, 'text.txt')
    writeFileSync(text, 'abc '.repeat(200))
    const run = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runInside(args)
      expect([code, stderr], args[0]).toEqual([0, ''])
      return stdout
    }
    await run('calibrate', '-m', model, '--output', traces, '--text', text, '--moments', ...windows)
    const budget = ['--scope', 'per-layer', '--sparsity', '0.5', '--all-layers']
    const picture = await run(
      'masks',
      '-m',
      model,
      '--planner',
      'static',
      '--calibration',
      traces,
      ...budget,
      '-o',
      mask,
      '--quiet',
    )
    expect(picture).toContain('static by plainact, per-layer; no prompt\n')
  })

  test('has fewer units in every layer, and is one that --moments changed', async () => {
    const texts: unknown[] = []
    for (const flags of [[], ['--moments', moments], ['--moments', moments, '--ridge', '1']]) {
      const to = join(folder, `${texts.length}`)
      const result = await runInside(['convert', model, to, '--mask', mask, ...flags, '--json'])
      expect([result.code, result.stderr]).toEqual([0, ''])
      expect(JSON.parse(result.stdout)).toMatchObject({ units: { heads: 2, keyHeads: 2, neurons: 6 } })
      const { configJson, source } = await openModelFolder(to)
      const { heads, neurons, headSize } = parseConfig(configJson)
      expect([heads, neurons, headSize]).toEqual([2, 6, 4])
      texts.push(await source.read('model.layers.1.mlp.down_proj.weight'))
      await source.close()
    }
    expect(texts[1]).not.toEqual(texts[0])
    expect(texts[2]).not.toEqual(texts[1])
  })

  test('that is hardly smaller is told of in one line, which --quiet drops, and a GGUF file has fewer units', async () => {
    const whole = 'fixtures/golden-llama/gguf/models/llama_gqa.F32.gguf'
    const own = join(folder, 'mask.safetensors')
    const choice = ['--planner', 'random', '--sparsity', '0.5', '--scope', 'per-layer', '-o', own]
    expect(await runInside(['masks', 'a', '-m', whole, ...choice])).toMatchObject({ code: 0 })
    // One layer keeps 11 of 12 neurons, the other none.
    const uneven = join(folder, 'uneven.safetensors')
    const neurons = Float32Array.from({ length: 24 }, (_, i) => Number(i < 11))
    await writeSafetensors(
      uneven,
      new Map([
        ['head_mask', { dtype: 'F32', shape: [2, 4], data: new Float32Array(8).fill(1) }],
        ['ffn_mask', { dtype: 'F32', shape: [2, 12], data: neurons }],
      ]),
    )
    const notes: string[] = []
    for (const [from, by, to, ...flags] of [
      [whole, own, 'whole'],
      [model, uneven, 'uneven'],
      [whole, own, 'quiet', '--quiet'],
      [whole, own, 'small.gguf'],
      [model, mask, 'smaller'],
    ]) {
      const result = await runInside(['convert', from, join(folder, to), '--mask', by, ...flags])
      expect([result.code, result.stdout]).toEqual([0, expect.stringContaining('neurons')])
      notes.push(result.stderr)
    }
    const [dense, nearlyDense, ...others] = notes
    const told = /^little is left out, [^\n]* "shadowllm masks --all-layers --scope per-layer" [^\n]*\n/
    expect(dense).toMatch(told)
    expect(nearlyDense).toMatch(/most: 4 heads, 11 neurons; /)
    expect(others).toEqual(['', '', ''])
    // It is told before anything is written.
    const refused = await runInside(['convert', whole, join(folder, 'whole'), '--mask', own])
    expect(refused.stderr.replace(told, '')).toMatch(/^shadowllm: [^\n]* \[OUTPUT_EXISTS\]\n$/)
  })

  test('a mask and moments that do not fit are refused, and leave nothing', async () => {
    const other = join(folder, 'other')
    await writeLlama(other, 7)
    for (const [args, code, says] of [
      [[model, 'to.safetensors', '--mask', mask], 2, 'OUTPUT'],
      [[model, 'to', '--moments', moments], 2, 'FLAGS'],
      [[model, 'to', '--mask', mask, '--ridge', '1'], 2, 'FLAGS'],
      [[model, 'to', '--mask', moments], 3, 'MASK_FORMAT'],
      [[model, 'to', '--mask', mask, '--moments', mask], 3, 'MOMENTS_FORMAT'],
      [[other, 'to', '--mask', mask, '--moments', moments], 3, 'MOMENTS_MODEL'],
    ] as const) {
      const [from, to, ...flags] = args
      const result = await runInside(['convert', from, join(folder, to), ...flags])
      expect([result.code, result.stdout]).toEqual([code, ''])
      expect(result.stderr).toMatch(new RegExp(`^shadowllm: [^\\n]+ \\[${says}\\]\\n$`))
    }
    expect(readdirSync(folder)).toEqual(['other'])
  })
})

test.each<[string, string[], RegExp]>([
  ['Q4_0', [], /^\d+ KiB became \d+ KiB, since matrices are F32 without --type; [^\n]+\n$/],
  ['Q4_0', ['--type', 'Q8_0'], /^$/],
  ['Q4_0', ['--type', 'Q8_0', '--mask'], /^\d+ KiB became \d+ KiB, since matrices are Q8_0; [^\n]+\n$/],
  ['Q4_0', ['--type', 'Q4_0', '--mask'], /^$/],
  ['Q4_0', ['--quiet'], /^$/],
  ['F32', [], /^$/],
])(
  'a GGUF file of %s with %j is told to have grown only where another --type would make it smaller',
  async (type, given, told) => {
    const from = `fixtures/golden-llama/gguf/models/llama_gqa.${type}.gguf`
    const mask = join(folder, 'mask.safetensors')
    const made = await runInside(['masks', 'a', '-m', from, '--planner', 'random', '-o', mask])
    expect(made.code).toBe(0)
    const flags = given.flatMap((flag) => (flag === '--mask' ? [flag, mask] : [flag]))
    const { code, stderr } = await runInside(['convert', from, join(folder, 'to.gguf'), ...flags])
    expect([code, stderr]).toEqual([0, expect.stringMatching(told)])
  },
)

test('that much is to be written is told, but not with --quiet', async () => {
  const from = largeCheckpoint(folder, 2 ** 26)
  const run = (to: string, ...flags: string[]) => runInside(['convert', from, join(folder, to), ...flags])
  const [told, quiet] = [await run('told'), await run('quiet', '--quiet')]
  expect(told).toMatchObject({ code: 0, stderr: expect.stringContaining('writing 64 MiB in a folder') })
  expect([quiet.code, quiet.stderr]).toEqual([0, ''])
})

test('ctrl-C leaves no file and ends with 130', async () => {
  // Several parts, so that one is written and the next is not.
  const from = largeCheckpoint(folder, 2 ** 24)
  const begun = (): boolean => readdirSync(folder).some((name) => name.endsWith('.tmp'))
  let wasBegun = false
  const interruptWhen = (): boolean => (wasBegun ||= begun())
  const result = await runInside(['convert', from, join(folder, 'to')], { interruptWhen })
  expect(result).toEqual({ code: 130, stdout: '', stderr: 'shadowllm: interrupted [INTERRUPTED]\n' })
  expect(wasBegun).toBe(true)
  expect(readdirSync(folder)).toEqual(['large.safetensors'])
})
