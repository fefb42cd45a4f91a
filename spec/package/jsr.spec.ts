/**
 * JSR gets the same package as npm: the same exports and version, and dependencies of the same versions.
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
