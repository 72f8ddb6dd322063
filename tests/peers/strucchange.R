# Expected values for tests/peers/test_strucchange.py.
# R 4.2.2, strucchange 1.5-3 (Debian r-cran-strucchange), run beside this file:
#   Rscript strucchange.R
suppressMessages(library(strucchange))
write <- function(frame, name) {
  numbers <- sapply(frame, is.double)
  frame[numbers] <- lapply(frame[numbers], function(x) sprintf("%.12g", x))
  write.csv(frame, paste0("strucchange_", name, ".csv"), row.names = FALSE, quote = FALSE)
}

# p-values of the efp processes, functional max
x <- c(0.05, 0.2, 0.4, 0.6, 0.8, 0.9478982, 1.1, 1.3581, 1.6, 2.0)
p <- function(process, h = NULL) sapply(x, function(v)
  pvalue.efp(v, process, FALSE, functional = "max", h = h, k = 1))
write(data.frame(statistic = x, rec_cusum = p("Brownian motion"), ols_cusum = p("Brownian bridge"),
  ols_mosum_025 = p("Brownian bridge increments", 0.25),
  ols_mosum_012 = p("Brownian bridge increments", 0.12)), "efp_p")

# boundaries of efp on a series of 40; root finding of boundary.efp is good to 1e-4
set.seed(1)
series <- data.frame(y = rnorm(40), x = 1:40)
edge <- do.call(rbind, lapply(c(0.1, 0.05, 0.02, 0.01), function(alpha) data.frame(alpha = alpha,
  rec = as.numeric(boundary(efp(y ~ x, series, type = "Rec-CUSUM"), alpha)),
  rec_n = length(efp(y ~ x, series, type = "Rec-CUSUM")$process),
  ols = max(boundary(efp(y ~ x, series, type = "OLS-CUSUM"), alpha)),
  mosum = max(boundary(efp(y ~ x, series, type = "OLS-MOSUM", h = 0.25), alpha)))))
write(cbind(step = rep(0:38, 4), edge), "efp_boundary")

# critical values and borders of monitoring: history of 40, up to ten times as long
history <- data.frame(y = rnorm(40))
rows <- list()
for (alpha in c(0.05, 0.032, 0.01, 0.0015)) {
  cusum <- mefp(efp(y ~ 1, history, type = "OLS-CUSUM"), alpha = alpha)
  for (k in c(41, 47, 80, 120, 400)) rows[[length(rows) + 1]] <- data.frame(
    method = "cusum", alpha = alpha, h = NA_real_, period = NA_real_, critical = cusum$critval,
    looks = k, border = cusum$border(k))
  for (h in c(0.25, 0.5, 1)) for (period in c(2, 4, 6, 8, 10)) {
    mosum <- mefp(efp(y ~ 1, history, type = "OLS-MOSUM", h = h), alpha = alpha, period = period)
    for (k in c(41, 120, 400)) rows[[length(rows) + 1]] <- data.frame(
      method = "mosum", alpha = alpha, h = h, period = period, critical = mosum$critval,
      looks = k, border = mosum$border(k))
  }
}
write(do.call(rbind, rows), "monitoring")

# seasonal series with steps: stable history as bfast's history_roc has it, monitoring processes
t <- 1:160
design <- data.frame(trend = t, c1 = cos(2 * pi * t / 23), s1 = sin(2 * pi * t / 23))
formula <- y ~ trend + c1 + s1
cases <- list()
processes <- list()
series <- list()
for (case in 1:6) {
  set.seed(100 + case)
  y <- 0.5 + 0.2 * design$c1 + rnorm(160, sd = 0.05)
  if (case %in% c(2, 5)) y[1:35] <- y[1:35] + 0.3
  if (case == 6) y[1:70] <- y[1:70] - 0.02 * (70 - t[1:70])
  if (case %in% c(3, 5)) y[131:160] <- y[131:160] - 0.25
  if (case == 4) y[121:160] <- y[121:160] - 0.004 * (1:40)
  data <- cbind(y = round(y, 6), design)
  back <- efp(formula, data[120:1, ], type = "Rec-CUSUM")
  unstable <- sctest(back)$p.value < 0.05
  first <- if (unstable) length(back$process) -
    min(which(abs(back$process) > boundary(back, 0.05))) + 1 else 1
  for (kind in c("OLS-CUSUM", "OLS-MOSUM")) {
    start <- mefp(formula, type = kind, data = data[1:120, ], h = 0.25, alpha = 0.05)
    found <- monitor(start, data = data, verbose = FALSE)
    cases[[length(cases) + 1]] <- data.frame(case = case, kind = kind, stable_from = first,
      p_value = sctest(back)$p.value, breakpoint = found$breakpoint, critical = start$critval)
    processes[[length(processes) + 1]] <- data.frame(case = case, kind = kind, look = 121:160,
      process = as.numeric(found$process), border = start$border(121:160))
  }
  series[[paste0("case_", case)]] <- data$y
}
write(do.call(rbind, cases), "cases")
write(do.call(rbind, processes), "processes")
write(as.data.frame(series), "series")
