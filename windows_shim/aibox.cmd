@echo off
setlocal DisableDelayedExpansion
set "shim=%~dp0aibox.ps1"
if not exist "%shim%" set "shim=%~dp0..\lib\aibox.ps1"
"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -ExecutionPolicy Bypass -File "%shim%" %*
