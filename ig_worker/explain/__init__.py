"""The mathematics: quadrature rules, the fused engine, the alibi reference engine."""
