/**
 * The name of a spec file decides its tier, and CI runs the command of every tier.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from './syntax.ts'
import { casesAtTier, isAtTier, readTier, specFilesOf, tiers, type Tier } from './tier.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

function filesOf(tier: Tier): string[] {
  const { include, exclude } = specFilesOf(tier)
  return globSync(include, { cwd: root, exclude }).toSorted()
}

test('the full tier contains the quick tier, and the soak tier has no file of either', () => {
  const [quick, , full, soak] = tiers.map(filesOf)
  expect(quick.every((path) => full.includes(path))).toBe(true)
  expect(quick.filter((path) => /\.(full|soak)\.spec\.ts$/.test(path))).toEqual([])
  expect(full.filter((path) => !quick.includes(path)).every((path) => path.endsWith('.full.spec.ts'))).toBe(
    true,
  )
  expect(soak.every((path) => path.endsWith('.soak.spec.ts'))).toBe(true)
  expect([...full, ...soak].toSorted()).toEqual(globSync('spec/**/*.spec.ts', { cwd: root }).toSorted())
})

test('quick and rest are the full tier; in rest are the files that look at their tier, however many imports away', () => {
  const [quick, rest, full] = tiers.map(filesOf)
  expect([...new Set([...quick, ...rest])].toSorted()).toEqual(full)
  const again = rest.filter((path) => quick.includes(path))
  expect(again).toContain('spec/golden/tiny_opt.spec.ts') // by itself
  expect(again).toContain('spec/criteria/plainact.spec.ts') // through harness/backends.ts
  expect(again).toContain('spec/engine/laws.spec.ts') // through cases.ts and harness/backends.ts
  expect(again).not.toContain('spec/harness/counting.spec.ts')
  expect(again.length).toBeLessThan(quick.length / 2)
})

test('the cases of the full tier are those of quick and of rest, each once', () => {
  for (const number of Array(20).keys())
    expect(tiers.filter((tier) => isAtTier(number, 8, tier))).toEqual(
      tiers.filter((tier) => tier !== (number % 8 === 0 ? 'rest' : 'quick')),
    )
  expect(tiers.map((tier) => casesAtTier(3, 10, tier))).toEqual([3, 7, 10, 10])
})

test('a tier has its name, quick is the default, and another name is refused', () => {
  expect([undefined, '', ...tiers].map(readTier)).toEqual(['quick', 'quick', ...tiers])
  expect(() => readTier('fast')).toThrow('SHADOWLLM_TIER: expected one of quick, rest, full, soak, got fast')
})

test('every tier is a script of package.json that the workflow runs', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const names = {
    quick: 'test',
    rest: 'test:rest',
    full: 'test:full',
    soak: 'test:soak',
  } satisfies Record<Tier, string>
  for (const [tier, name] of Object.entries(names))
    expect(scripts[name]).toBe(`node scripts/node.mjs scripts/test.ts ${tier}`)
  const workflow = read('.github/workflows/ci.yml')
  for (const command of ['npm test', '.ci/run', 'npm run test:soak'])
    expect(workflow).toContain(`- run: ${command}\n`)
  expect(read('.ci/run')).toContain('for tier in test test:rest; do')
})
