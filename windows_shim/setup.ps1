function Invoke-Setup($words) { 0 }
