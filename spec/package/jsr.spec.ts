/**
 * JSR gets the same package as npm: the same exports and version, and dependencies of the same versions. And what package.json and
 * CHANGELOG.md say of a version and of what is inside holds.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inside } from '../../scripts/package/inside.ts'
import { root } from '../harness/syntax.ts'

/** What is read of package.json. A door is a file, or one per condition. */
interface Package {
  readonly version: string
  readonly license: string
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

/** What is read of jsr.json. */
interface JsrPackage {
  readonly version: string
  readonly license: string
  readonly exports: Readonly<Record<string, string>>
  readonly imports: Readonly<Record<string, string>>
}

const read = (name: string): unknown => JSON.parse(readFileSync(join(root, name), 'utf8'))
const npm = read('package.json') as Package
const jsr = read('jsr.json') as JsrPackage

/** What is wrong with the one beside the other. */
function differences(ours: JsrPackage, theirs: Package): string[] {
  const doors = Object.entries(theirs.exports).flatMap(([name, to]) =>
    // A door without a condition for sources is no module.
    typeof to === 'string' ? [] : [[name, to['@shadowllm/source']] as const],
  )
  // Of the optional packages JSR needs those that a module imports by itself, and it gets the sources, which have nothing
  // inside. The version is the one that was tested.
  const optional = Object.keys(theirs.peerDependencies).filter((name) => Object.hasOwn(ours.imports, name))
  const tested = [...optional, ...inside].map((name) => [name, theirs.devDependencies[name]] as const)
  // Types alone are no import.
  const packages = [...Object.entries(theirs.dependencies), ...tested]
    .filter(([name]) => !name.startsWith('@types/'))
    .map(([name, version]) => [name, `npm:${name}@${version}`] as readonly [string, string])
  const compare = (
    what: string,
    got: Readonly<Record<string, string>>,
    expected: readonly (readonly [string, string])[],
  ): string[] =>
    [...new Set([...Object.keys(got), ...expected.map(([name]) => name)])]
      .filter((name) => got[name] !== Object.fromEntries(expected)[name])
      .map((name) => `${what} ${name}`)
  return [
    ...(['version', 'license'] as const).filter((name) => ours[name] !== theirs[name]),
    ...compare('export', ours.exports, doors),
    ...compare('import', ours.imports, packages),
  ]
}

describe('jsr.json agrees with package.json', () => {
  test('in this package', () => {
    expect(Object.keys(jsr.exports)).toContain('.')
    expect(differences(jsr, npm)).toEqual([])
  })

  test.each<[string, Partial<JsrPackage>]>([
    ['version', { version: '0.0.0' }],
    ['export ./masks', { exports: { ...jsr.exports, './masks': './src/masks/mask.ts' } }],
    ['export ./none', { exports: { ...jsr.exports, './none': './src/none.ts' } }],
    ['import koffi', { imports: { ...jsr.imports, koffi: 'npm:koffi@1' } }],
  ])('another %s is found', (name, change) => {
    expect(differences({ ...jsr, ...change }, npm)).toEqual([name])
  })

  test('a missing entry point is found', () => {
    const { '.': _, ...others } = jsr.exports
    expect(differences({ ...jsr, exports: others }, npm)).toEqual(['export .'])
  })
})

/** What CHANGELOG.md lacks of a version: it is the newest that has a section, with a date unless it is the first. */
function changelogFaults(text: string, version: string): string[] {
  const released = [...text.matchAll(/^## (\d+\.\d+\.\d+)(?: \((\d{4}-\d\d-\d\d)\))?$/gm)]
  const [newest, ...older] = released.map(([, name, date]) => ({ name, date }))
  return [
    ...(newest?.name === version ? [] : [`the newest release is ${newest?.name}`]),
    ...(newest?.date === undefined && older.length > 0 ? ['the newest release has no date'] : []),
  ]
}

describe('CHANGELOG.md has the version of package.json as its newest release', () => {
  const text = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')

  test('of this package', () => expect(changelogFaults(text, npm.version)).toEqual([]))

  test.each([
    ['another version', text, '9.9.9', [`the newest release is ${npm.version}`]],
    ['no date', text.replace(/ \(\d{4}-\d\d-\d\d\)/, ''), npm.version, ['the newest release has no date']],
    ['no release', '# Changes\n\n## Unreleased\n', npm.version, ['the newest release is undefined']],
  ])('%s is found', (_, changed, version, faults) =>
    expect(changelogFaults(changed, version)).toEqual(faults),
  )
})

/** The packages that are built into this one, and what package.json does not say of them. */
function insideFaults(manifest: Record<string, unknown>, text: string): string[] {
  const { dependencies, devDependencies } = manifest as unknown as Package
  const said = String(manifest['//devDependencies'])
  return inside.flatMap((name) => [
    ...(Object.hasOwn(devDependencies, name) ? [] : [`${name} is not installed for the build`]),
    ...(Object.hasOwn(dependencies, name) ? [`${name} is installed and inside`] : []),
    ...(said.includes(name) && said.includes(text) ? [] : [`nothing says why ${name} is no dependency`]),
  ])
}

describe('package.json says why a package that src imports is no dependency', () => {
  const where = 'scripts/package/inside.ts'
  const ours = read('package.json') as Record<string, unknown>

  test('of this package', () => {
    expect(inside.length).toBeGreaterThan(0)
    expect(insideFaults(ours, where)).toEqual([])
  })

  test.each([
    ['not installed', { devDependencies: {} }, 'valibot is not installed for the build'],
    ['a dependency too', { dependencies: { valibot: '1.0.0' } }, 'valibot is installed and inside'],
    ['not explained', { '//devDependencies': '' }, 'nothing says why valibot is no dependency'],
  ])('%s is found', (_, change, fault) =>
    expect(insideFaults({ ...ours, ...change }, where)).toEqual([fault]),
  )
})
