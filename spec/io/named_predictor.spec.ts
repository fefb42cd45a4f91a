/**
 * Predictors are found by a path, by a name in this package, and beside their model.
 *
 * Tests src/io/packaged.ts and src/io/known_models.ts.
 */
import fc from 'fast-check'
import { copyFileSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { createBackend } from '../../src/backends/select.ts'
import {
  findPredictor,
  ownPredictor,
  packagedPredictor,
  predictorBeside,
  predictorNames,
} from '../../src/io/named_predictor.ts'
import { makersSampling, type KnownShape } from '../../src/io/known_models.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { openPredictor, sourceEntry } from '../../src/predictor/predictor_file.ts'
import { fixtures } from '../golden/golden.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

const isBeside = lawForAll(
  'of a folder is predictor.safetensors in it; of NAME.gguf it is NAME.predictor.safetensors',
  {
    name: fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9._ -]{0,12}$/),
    end: fc.constantFrom('.gguf', '.GGUF', '.safetensors', '.bin', '.safetensors.index.json'),
  },
  (beside: typeof predictorBeside, { name, end }) => {
    const weights = join(folder, name + end)
    const found = beside(weights)
    expect(dirname(found)).toBe(dirname(weights))
    const single = end.toLowerCase() === '.gguf'
    expect(basename(found)).toBe(single ? `${name}.predictor.safetensors` : 'predictor.safetensors')
  },
)

describe('the predictor beside a model', () => {
  stateLaw(isBeside, predictorBeside)
  killsEach('mutant: %s: killed', isBeside, {
    'any model of a folder takes predictor.safetensors': (weights) =>
      join(dirname(weights), 'predictor.safetensors'),
    'every file has one of its name': (weights) => weights.replace(/\.[^.]*$/, '.predictor.safetensors'),
    '.gguf is not taken off': (weights) =>
      weights.endsWith('.gguf') ? `${weights}.predictor.safetensors` : predictorBeside(weights),
  })
})

describe('a predictor in this package', () => {
  test('is found by its name, unless a file has that name', async () => {
    expect(predictorNames).toEqual(['smollm2-135m'])
    const found = await findPredictor('smollm2-135m')
    expect(existsSync(found)).toBe(true)
    // Anything else is a path.
    for (const path of ['smollm2', './smollm2-135m', 'SMOLLM2-135m', '', join(folder, 'none')])
      expect(await findPredictor(path)).toBe(path)
    const here = process.cwd()
    try {
      writeFileSync(join(folder, 'smollm2-135m'), 'own')
      process.chdir(folder)
      expect(await findPredictor('smollm2-135m')).toBe('smollm2-135m')
    } finally {
      process.chdir(here)
    }
  })

  test('is of the shape of SmolLM2-135M, is small, and says what it was made from', async () => {
    const path = await findPredictor('smollm2-135m')
    expect(statSync(path).size).toBeLessThan(3e6)
    const backend = await createBackend('reference')
    const predictor = await openPredictor(path, backend)
    expect(predictor.kind).toBe('shadow')
    expect(predictor.config).toMatchObject({ shape: { layers: 30, heads: 9, neurons: 1536 }, width: 576 })
    predictor.dispose()
    backend.dispose()
    const file = await openSafetensors(path)
    const source = JSON.parse(file.metadata.get(sourceEntry) ?? '') as Record<string, unknown>
    await file.close()
    expect(source).toMatchObject({
      model: expect.stringMatching(/^[0-9a-f]{64}$/),
      data: expect.any(String),
      windows: expect.any(Number),
    })
  })

  describe('belongs to models of its sizes and rotations', () => {
    const rotary = { base: 100_000, scaling: null }
    const smollm2 = { layers: 30, width: 576, heads: 9, neurons: 1536, vocabulary: 49_152, rotary }
    const changes: Readonly<Record<string, Partial<KnownShape>>> = {
      layers: { layers: 31 },
      width: { width: 640 },
      heads: { heads: 3 },
      neurons: { neurons: 1024 },
      vocabulary: { vocabulary: 49_153 },
      'base of rotations, such as SmolLM-135M': { rotary: { base: 10_000 } },
      'way of knowing positions': { rotary: null },
    }

    test('and is found for them where none is beside the model', async () => {
      expect(packagedPredictor(smollm2)).toBe('smollm2-135m')
      const beside = join(folder, 'model.predictor.safetensors')
      expect(await ownPredictor(beside, smollm2)).toBe('smollm2-135m')
      writeFileSync(beside, '')
      expect(await ownPredictor(beside, smollm2)).toBe(beside)
    })

    test('and how its makers draw tokens holds for chats, where no file says it', () => {
      const card = { temperature: 0.2, topP: 0.9 }
      expect(makersSampling({}, smollm2, true)).toEqual(card)
      expect(makersSampling({}, smollm2, false)).toEqual({})
      for (const own of [{ topK: 40 }, { temperature: 0 }])
        expect(makersSampling(own, smollm2, true)).toEqual(own)
      for (const change of Object.values(changes))
        expect(makersSampling({}, { ...smollm2, ...change }, true)).toEqual({})
    })

    test.each(Object.entries(changes))('but not for one of another %s', async (_, change) => {
      expect(packagedPredictor({ ...smollm2, ...change })).toBeNull()
      expect(await ownPredictor(join(folder, 'none'), { ...smollm2, ...change })).toBeNull()
    })
  })

  test('is refused by a model of another shape', async () => {
    await using opt = await ShadowModel.fromPretrained()
    await expect(opt.loadPredictor('smollm2-135m')).rejects.toMatchObject({ code: 'PREDICTOR_MODEL' })
  })
})

test('a model of a folder reads its own predictor', async () => {
  const found = predictorBeside(join(fixtures, 'tiny-opt', 'model.safetensors'))
  expect(existsSync(found)).toBe(true)
  copyFileSync(found, join(folder, 'copy.predictor.safetensors'))
  expect(predictorBeside(join(folder, 'copy.gguf'))).toBe(join(folder, 'copy.predictor.safetensors'))
})
