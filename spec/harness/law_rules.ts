/**
 * Rules of how laws are stated, each a function from sources to the list of its violations, one line each.
 * `law_rules.spec.ts` applies them, and breaks each of them on purpose.
 */
import { type Module, type Node, place, walk } from './syntax.ts'

/** How much an arbitrary may hold, and what lets it hold that much. */
const limits: Readonly<Record<string, string>> = {
  maxLength: 'size',
  maxKeys: 'size',
  maxNumElements: 'size',
  maxCommands: 'size',
  maxDepth: 'depthSize',
}

/**
 * Whoever states a limit states the size, too. Without it fast-check draws at most some ten elements, unless it is configured
 * otherwise for the whole process, which is not for src/ to do.
 */
export function limitsAreReached(modules: readonly Module[]): string[] {
  return modules.flatMap((module) => {
    const found: string[] = []
    visitAll(module, (node) => {
      if (node.type !== 'ObjectExpression') return
      const names = (node.properties as Node[]).map((property) => (property.key as Node | undefined)?.name)
      for (const [limit, size] of Object.entries(limits))
        if (names.includes(limit) && !names.includes(size))
          found.push(`${place(module, node.start)}: ${limit} without ${size}`)
    })
    return found
  })
}

/**
 * `checkLaw` takes any arbitraries, so a mutant could be judged on others than its law's. Only the harness calls it: specs
 * state laws (`law`, `stateLaw`) and judge mutants by them (`kills`).
 */
export function onlyTheHarnessChecksLaws(modules: readonly Module[]): string[] {
  return modules
    .filter(({ path }) => !path.startsWith('spec/harness/'))
    .flatMap((module) => {
      const found: string[] = []
      visitAll(module, (node) => {
        const names = node.type === 'Identifier' && node.name === 'checkLaw'
        if (names) found.push(`${place(module, node.start)}: checkLaw is named outside spec/harness`)
      })
      return found
    })
}

function visitAll(module: Module, visit: (node: Node) => void): void {
  for (const statement of module.body) walk(statement, visit)
}
