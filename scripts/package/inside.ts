/**
 * Takes into the package what its modules use of large packages: a thirtieth of the 1.9 MB that valibot installs.
 */
import { build } from 'esbuild'
import { glob, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

/** The packages that are inside: dependencies of the sources, and not of the package. */
export const inside: readonly string[] = ['valibot']

/** Rewrites the compiled modules so that they import dist/inside/NAME.js. @param root of the checkout */
export async function takeInside(root: string, output: string): Promise<void> {
  for (const name of inside) {
    const module = join(output, 'inside', `${name}.js`)
    const used = new Set<string>()
    for await (const file of glob('**/*.js', { cwd: output })) {
      const path = join(output, file)
      const text = await readFile(path, 'utf8')
      const place = relative(dirname(path), module).replaceAll('\\', '/')
      const found = importInside(text, name, place.startsWith('.') ? place : `./${place}`)
      if (!found) continue
      for (const member of found.used) used.add(member)
      await writeFile(path, found.text)
    }
    await build({
      banner: { js: `/*\n${await readFile(join(root, 'node_modules', name, 'LICENSE.md'), 'utf8')}*/` },
      bundle: true,
      format: 'esm',
      legalComments: 'none',
      logLevel: 'warning',
      outfile: module,
      stdin: { contents: `export { ${[...used].sort().join(', ')} } from '${name}'`, resolveDir: root },
      target: 'es2024',
    })
  }
}

/**
 * A module that imports a package as a whole, with another place for it, and what it uses of it; null if it does not import it.
 * @throws Error for an import of another form
 */
export function importInside(
  text: string,
  name: string,
  place: string,
): { text: string; used: string[] } | null {
  const statement = new RegExp(`^import \\* as (\\w+) from '${name}';?$`, 'm')
  const found = statement.exec(text)
  const rest = text.replace(statement, '')
  if (new RegExp(`from '${name}'|import\\(['"]${name}`).test(rest))
    throw new Error(`${name}: expected import * as v, got another import`)
  if (!found) return null
  const [, local] = found
  return {
    text: text.replace(statement, `import * as ${local} from '${place}';`),
    used: [...rest.matchAll(new RegExp(`\\b${local}\\.(\\w+)`, 'g'))].map(([, member]) => member),
  }
}
