/**
 * Pages whose figures follow from result files: a figure stands between two comments, of which the first holds the expression
 * that it is the value of.
 *
 *   Half of the neurons cost <!--= kl('neurons', 'griffin', 50) -->0.93 ± 0.09<!--/--> nats per token.
 *
 * An expression is one of JavaScript over what `figures.ts` offers. A table is an expression whose value has several lines.
 */
import { runInNewContext } from 'node:vm'
import { InputError } from '../../src/tensor/errors.ts'

const derived = /<!--= (.*?) -->(.*?)<!--\/-->/gs

/** A page without the figures that follow from result files. */
export function withoutDerived(text: string): string {
  return text.replace(derived, '')
}

/**
 * A page with every figure computed anew.
 * @param scope what expressions may use, beside `page`, which is the page without its figures
 * @throws InputError FIGURE for an expression that fails, or is no text or number
 */
export function derive(name: string, text: string, scope: object): string {
  const context = { ...scope, page: withoutDerived(text) }
  return text.replace(derived, (_, expression: string) => {
    const value = valueOf(name, expression, context)
    // A table stands by itself, so that Markdown sees it as one.
    const shown = value.includes('\n') ? `\n\n${value.trim()}\n\n` : value
    return `<!--= ${expression} -->${shown}<!--/-->`
  })
}

function valueOf(page: string, expression: string, context: object): string {
  let value: unknown
  try {
    value = runInNewContext(expression, context)
  } catch (error) {
    throw new InputError('FIGURE', `${page}: ${expression}: ${(error as Error).message}`, { cause: error })
  }
  if (typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))) return String(value)
  throw new InputError('FIGURE', `${page}: ${expression}: expected a text or a number, got ${String(value)}`)
}
