/**
 * Parameters outside the layers, by the names of Hugging Face: other engines have names of their own for them.
 */
import type { ModelConfig } from '../../src/engine/config.ts'

/** Rows of OPT's position table before position 0. */
export const POSITION_OFFSET = 2

/** Their names. Only OPT has a position table and projections. */
export function outerNames({ family }: Pick<ModelConfig, 'family'>) {
  const at = family === 'opt' ? 'model.decoder' : 'model'
  return {
    tokenTable: `${at}.embed_tokens.weight`,
    positionTable: `${at}.embed_positions.weight`,
    projectIn: `${at}.project_in.weight`,
    projectOut: `${at}.project_out.weight`,
    finalNorm: family === 'opt' ? `${at}.final_layer_norm` : `${at}.norm`,
    head: 'lm_head.weight',
  }
}
